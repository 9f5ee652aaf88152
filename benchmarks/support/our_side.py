"""Run as a process: Freehold's model, asked by `benchmarks.support.sides`.

Prefill and decoding go through the model's forward with caches, as the engine's runner calls it; `generate` through the
engine itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository, for this runs as a script

import freehold
from benchmarks.support.answering import answer, memory, timed, token_ids
from freehold.cli.measuring import Clock
from freehold.engine.types import EngineOptions, GenerationRequest, SamplingOptions, StopOptions
from freehold.models import Decoder
from freehold.ops.base import Forward
from freehold.ops.batch import Batch

OPTIONS = EngineOptions()
BLOCK = OPTIONS.block_size


class OurSide:
    """One model, and caches for some sequences, whose blocks lie one after the other."""

    def load(self, path: str, context: int | None = None, cache_type: str | None = None) -> dict[str, float]:
        """Load a model file; `context` bounds what the engine makes room for, None leaves that to the engine."""
        started = time.perf_counter()
        self.clock = Clock()
        self.model = freehold.load(
            Path(path),
            cache_type=cache_type,
            context_length=context,
            observer=self.clock,
            prefix_cache=False,
            speculation="off",
            cache_tokens=context,
        )
        network = self.model.network
        assert isinstance(network, Decoder)
        self.network = network
        self.vocabulary = network.config.vocabulary
        return {"seconds": time.perf_counter() - started}

    def open(self, sequences: int, positions: int) -> None:
        """Make room for sequences of so many positions; what was open before is gone."""
        self.blocks = -(-positions // BLOCK)
        self.sequences = sequences
        self.caches: list[Any] = []
        self.step: Forward | None = None
        self.caches = caches = self.network.create_cache(sequences * self.blocks, BLOCK)
        self.step = self.network.ops.graphed(lambda batch: self.network.forward(batch, caches))
        self.filled = 0

    def prefill(self, tokens: int) -> dict[str, float]:
        """One sequence from its beginning, in the chunks of the engine, with the logits of its last row."""
        ids = token_ids(tokens, self.vocabulary)
        return timed(lambda: self._prefill(ids))

    def _prefill(self, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), OPTIONS.prefill_chunk):
            chunk = ids[start : start + OPTIONS.prefill_chunk]
            wanted = [len(chunk) - 1] if start + len(chunk) == len(ids) else []
            self._forward([chunk], start, wanted)

    def fill(self, tokens: int) -> None:
        """Let every sequence hold the same tokens, each in blocks of its own."""
        self._prefill(token_ids(tokens, self.vocabulary))
        for layer in self.caches:
            for array in (kept for one in fields(layer) if (kept := getattr(layer, one.name)) is not None):
                for sequence in range(1, self.sequences):
                    array[sequence * self.blocks : (sequence + 1) * self.blocks] = array[: self.blocks]
        self.filled = tokens

    def decode(self, steps: int) -> dict[str, float]:
        """Steps that give every sequence one more token; afterwards the sequences are as they were."""
        ids = token_ids(steps * self.sequences, self.vocabulary)

        def work() -> None:
            for step in range(steps):
                rows = [[token] for token in ids[step * self.sequences :][: self.sequences]]
                self._forward(rows, self.filled + step, range(self.sequences))

        return timed(work)

    def _forward(self, rows: Sequence[Sequence[int]], first: int, wanted: Sequence[int]) -> None:
        """Tokens of the first sequences, of each equally many, from a position on."""
        count, each = len(rows), len(rows[0])
        batch = Batch(
            token_ids=np.array(rows, np.int32).reshape(-1),
            positions=np.tile(np.arange(first, first + each, dtype=np.int32), count),
            offsets=np.arange(count + 1, dtype=np.int32) * np.int32(each),
            block_tables=np.arange(count * self.blocks, dtype=np.int32),
            block_offsets=np.arange(count + 1, dtype=np.int32) * np.int32(self.blocks),
            logit_rows=np.array(wanted, np.int32),
        )
        assert self.step is not None
        self.network.ops.to_numpy(self.step(batch))

    def generate(self, prompt: int, steps: int) -> dict[str, float]:
        """Through the engine, greedily: seconds to the first token, and for the steps after it."""
        request = GenerationRequest(
            prompt=tuple(token_ids(prompt, self.vocabulary)),
            sampling=SamplingOptions(temperature=0),
            stop=StopOptions(max_tokens=steps + 1, ignore_eos=True),
        )
        stream = self.model.engine.stream(request)
        self.clock.restart()
        for output in stream:
            if output.error is not None:
                raise RuntimeError(output.error)
        moments = [*self.clock.first, *self.clock.next]
        return {"first": moments[0], "seconds": moments[-1] - moments[0]}

    def logits(self, sequences: list[list[int]], to: str) -> None:
        """Logits of all positions of whole sequences, as one array in a file of NumPy."""
        np.save(to, np.concatenate(self.model.logits(sequences)))


def main() -> None:
    side = OurSide()
    methods = (side.load, side.open, side.prefill, side.fill, side.decode, side.generate, side.logits)
    answer({method.__name__: method for method in methods} | {"memory": memory})


if __name__ == "__main__":
    main()
