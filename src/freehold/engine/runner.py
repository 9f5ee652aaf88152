"""Carries out a step: the only part of the engine that touches arrays."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import accumulate

import numpy as np

from freehold.engine.model import LanguageModel
from freehold.engine.sampler import Sampler, SamplingRow
from freehold.engine.sequence import Step
from freehold.engine.types import TokenOutput
from freehold.ops.batch import Batch, Int32Array


class Runner:
    """Holds the model and its cache.

    Args:
        model: what computes.
        sampler: what draws.
        blocks, block_size, states: shape of the cache.
    """

    def __init__(self, model: LanguageModel, sampler: Sampler, *, blocks: int, block_size: int, states: int) -> None:
        self._model = model
        self._sampler = sampler
        self._caches = model.create_cache(blocks, block_size, states)

    def run(self, step: Step) -> list[TokenOutput]:
        """Compute a step.

        Returns:
            The drawn token of each piece of work that draws one, in the step's order.
        """
        logits = self._model.forward(to_batch(step), self._caches)
        drawing = (work.sequence for work in step.work if work.draws)
        rows = [SamplingRow(sequence.sampling, sequence.tokens, sequence.prompt_length) for sequence in drawing]
        return self._sampler(self._model.ops.to_numpy(logits), rows) if rows else []


def to_batch(step: Step) -> Batch:
    """The step's numbers as arrays."""
    work = step.work
    ranges = [range(item.sequence.computed, item.sequence.computed + item.count) for item in work]
    token_ids: list[int] = []
    for item, positions in zip(work, ranges, strict=True):
        token_ids += item.sequence.tokens[positions.start : positions.stop]
    offsets = _ends(item.count for item in work)
    slots = [item.slots for item in work if item.slots is not None]
    return Batch(
        token_ids=np.array(token_ids, np.int32),
        positions=np.concatenate([np.arange(r.start, r.stop, dtype=np.int32) for r in ranges]),
        offsets=offsets,
        block_tables=np.concatenate([_view(item.sequence.blocks) for item in work]),
        block_offsets=_ends(len(item.sequence.blocks) for item in work),
        logit_rows=np.array([end - 1 for item, end in zip(work, offsets[1:], strict=True) if item.draws], np.int32),
        state_reads=np.array([pair.read for pair in slots], np.int32),
        state_writes=np.array([pair.write for pair in slots], np.int32),
    )


def _ends(counts: Iterable[int]) -> Int32Array:
    """[0, c0, c0 + c1, ...]"""
    return np.array([0, *accumulate(counts)], np.int32)


def _view(blocks: array[int]) -> Int32Array:
    return np.frombuffer(blocks, np.int32)
