"""Carries out a step: the only part of the engine that touches arrays."""

from __future__ import annotations

from itertools import islice

from freehold.engine.model import LanguageModel
from freehold.engine.ragged import Part, to_batch
from freehold.engine.sampler import Sampler, SamplingRow
from freehold.engine.sequence import Copy, Step, Work
from freehold.engine.types import TokenOutput


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
        self._caches = caches = model.create_cache(blocks, block_size, states)
        # Without `self`, so that the caches go as soon as the runner does.
        self._forward = model.ops.graphed(lambda batch: model.forward(batch, caches))

    def run(self, step: Step) -> list[list[TokenOutput]]:
        """Compute a step.

        Returns:
            The drawn tokens of each piece of work that draws, in the step's order: one, and one more for each token of
            its draft that was drawn, too.
        """
        for work in step.work:
            if work.copy is not None:
                self._copy(work.copy)
        logits = self._forward(to_batch([to_part(work) for work in step.work]))
        drawing = [work for work in step.work if work.draws]
        if not drawing:
            return []
        rows = [row for work in drawing for row in _sampling_rows(work)]
        drawn = iter(self._sampler(self._model.ops.to_numpy(logits), rows))
        return [_accepted(list(islice(drawn, 1 + len(work.draft))), work.draft) for work in drawing]

    def _copy(self, copy: Copy) -> None:
        for layer in self._caches:
            self._model.ops.copy_block(layer, copy.source, copy.target)


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


def to_part(work: Work) -> Part:
    """What a step computes for one sequence, its draft included."""
    sequence, draft = work.sequence, work.draft
    tokens = [*sequence.tokens[sequence.computed : sequence.computed + work.count], *draft]
    return Part(tokens, sequence.computed, sequence.blocks, 1 + len(draft) if work.draws else 0, work.slots)
