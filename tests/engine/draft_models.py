"""Draft models for the simulation, which notice when they are shown anything but the sequence."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from freehold.engine import engine as engine_module
from freehold.engine.model_drafter import DraftModel, ModelDrafter
from freehold.engine.pace import Pace
from freehold.engine.row_costs import MOST_ROWS, RowCosts
from freehold.engine.sampler import SamplingRow
from freehold.engine.speculation import Speculation
from freehold.engine.types import TokenOutput
from freehold.ops.batch import Batch
from tests.engine.fakes import UNWRITTEN, FakeLimits, FakeOps
from tests.engine.simulation import BLOCK, next_token

MOST_READ = 10


class FreeRows(RowCosts):
    """Every guess is worth a try."""

    def relative(self, rows: int, plain: int) -> float:
        return 0.5


def make_drafts_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let engines draft whatever is on offer, and read whatever that needs."""
    monkeypatch.setattr("freehold.engine.model_drafter.READ_FOR_ONE", 1000)
    monkeypatch.setattr(engine_module, "RowCosts", FreeRows)
    monkeypatch.setattr(ModelDrafter, "cost", lambda self, counts, plain_seconds: 0.0)


@dataclass
class Reader:
    """Its cache holds token ids; it guesses the simulation's next token, and is wrong now and then.

    Attributes:
        right: chance that a guess is right.
        seconds: what a pass takes.
        most_read: tokens that it may read in a step.
        passes: tokens of each pass so far.
        wrong: rows whose cached history is not what they are drawn for.
    """

    right: float = 1.0
    seconds: float = 0.2
    most_read: int = MOST_READ
    config: FakeLimits = field(default_factory=lambda: FakeLimits(1_000_000, 1_000_000))
    ops: FakeOps = field(default_factory=FakeOps)
    passes: list[int] = field(default_factory=list)
    wrong: list[tuple[list[int], list[int]]] = field(default_factory=list)
    now: float = 0.0
    chance: Random = field(default_factory=lambda: Random(1))
    histories: list[list[int]] = field(default_factory=list)

    def forward(self, batch: Batch, caches: Listing[npt.NDArray[np.int32]] | None) -> npt.NDArray[np.float32]:
        assert caches is not None
        (cache,) = caches
        self.passes.append(batch.tokens)
        self.now += self.seconds
        self.histories = []
        for sequence in range(batch.sequences):
            rows = slice(batch.offsets[sequence], batch.offsets[sequence + 1])
            table = batch.block_tables[batch.block_offsets[sequence] : batch.block_offsets[sequence + 1]]
            positions = batch.positions[rows]
            cache[table[positions // BLOCK], positions % BLOCK] = batch.token_ids[rows]
            for row in batch.logit_rows[(batch.logit_rows >= rows.start) & (batch.logit_rows < rows.stop)]:
                self.histories.append(cache[table].reshape(-1)[: batch.positions[row] + 1].tolist())
        return np.zeros((len(batch.logit_rows), 1), np.float32)

    def sampler(self, logits: npt.NDArray[np.float32], rows: Listing[SamplingRow]) -> list[TokenOutput]:
        for history, row in zip(self.histories, rows, strict=True):
            expected = [*row.tokens, *row.drafted]
            if history != expected:
                self.wrong.append((history, expected))
        return [self._guess([*row.tokens, *row.drafted]) for row in rows]

    def create_cache(self, blocks: int, block_size: int, states: int = 0) -> list[Any]:
        return [np.full((blocks, block_size), UNWRITTEN, np.int32)]

    def cache_bytes_per_token(self) -> int:
        return 4

    def state_bytes_per_sequence(self) -> int:
        return 0

    def _guess(self, tokens: list[int]) -> TokenOutput:
        token = next_token(tokens)
        return TokenOutput(token if self.chance.random() < self.right else token + 1, 0.0)

    def drafter(self, blocks: int) -> ModelDrafter:
        """A source of drafts for a scheduler of so many blocks."""
        return ModelDrafter(
            DraftModel(self, self.sampler),
            blocks=blocks,
            block_size=BLOCK,
            vocabulary=1,
            pace=Pace(self.most_read),
            clock=lambda: self.now,
        )

    def speculation(self, blocks: int, per_row: float = 0.05) -> Speculation:
        """Speculation with this model alone, where a step takes a second, and so much more for each further row."""
        costs = RowCosts()
        for rows in range(1, MOST_ROWS + 1):
            costs.note(rows, 1 + per_row * (rows - 1))
        return Speculation(costs, [self.drafter(blocks)])
