"""Carries out a step: the only part of the engine that touches arrays."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import accumulate, islice

import numpy as np

from freehold.engine.model import LanguageModel
from freehold.engine.sampler import Sampler, SamplingRow
from freehold.engine.sequence import Step, Work
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

    def run(self, step: Step) -> list[list[TokenOutput]]:
        """Compute a step.

        Returns:
            The drawn tokens of each piece of work that draws, in the step's order: one, and one more for each token of
            its draft that was drawn, too.
        """
        logits = self._model.forward(to_batch(step), self._caches)
        drawing = [work for work in step.work if work.draws]
        if not drawing:
            return []
        rows = [row for work in drawing for row in _sampling_rows(work)]
        drawn = iter(self._sampler(self._model.ops.to_numpy(logits), rows))
        return [_accepted(list(islice(drawn, 1 + len(work.draft))), work.draft) for work in drawing]


def _sampling_rows(work: Work) -> list[SamplingRow]:
    """One for the token after the sequence, and one for the token after each token of its draft."""
    sequence, draft = work.sequence, work.draft
    return [
        SamplingRow(sequence.sampling, sequence.tokens, sequence.prompt_length, draft[:length])
        for length in range(len(draft) + 1)
    ]


def _accepted(drawn: list[TokenOutput], draft: tuple[int, ...]) -> list[TokenOutput]:
    """The tokens that decoding one by one draws: each row is computed and drawn from as it would be then, so all are
    the same up to the first that is not the draft's. What was drawn after that follows a token that does not exist."""
    right = 0
    while right < len(draft) and drawn[right].token_id == draft[right]:
        right += 1
    return drawn[: right + 1]


def to_batch(step: Step) -> Batch:
    """The step's numbers as arrays."""
    work = step.work
    token_ids: list[int] = []
    positions: list[Int32Array] = []
    for item in work:
        start, count = item.sequence.computed, item.count
        token_ids += item.sequence.tokens[start : start + count]
        token_ids += item.draft
        positions.append(np.arange(start, start + count + len(item.draft), dtype=np.int32))
    offsets = _ends(item.count + len(item.draft) for item in work)
    drawing = [(int(end), len(item.draft)) for item, end in zip(work, offsets[1:], strict=True) if item.draws]
    slots = [item.slots for item in work if item.slots is not None]
    return Batch(
        token_ids=np.array(token_ids, np.int32),
        positions=np.concatenate(positions),
        offsets=offsets,
        block_tables=np.concatenate([_view(item.sequence.blocks) for item in work]),
        block_offsets=_ends(len(item.sequence.blocks) for item in work),
        logit_rows=np.array([row for end, drafted in drawing for row in range(end - drafted - 1, end)], np.int32),
        state_reads=np.array([pair.read for pair in slots], np.int32),
        state_writes=np.array([pair.write for pair in slots], np.int32),
    )


def _ends(counts: Iterable[int]) -> Int32Array:
    """[0, c0, c0 + c1, ...]"""
    return np.array([0, *accumulate(counts)], np.int32)


def _view(blocks: array[int]) -> Int32Array:
    return np.frombuffer(blocks, np.int32)
