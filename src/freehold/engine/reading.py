"""One sequence while a draft model guesses how it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp

from freehold.engine.drafts import Order
from freehold.engine.following import Following
from freehold.engine.ragged import Part
from freehold.engine.sampler import SamplingRow
from freehold.engine.types import TokenOutput

# Latest tokens that are held against what it would have guessed, where it is tried again.
MOST_JUDGED = 16


@dataclass(slots=True)
class Reading:
    """An order while it is carried out.

    Attributes:
        rows: from which to draw after the pass at hand: for tokens that came, to judge what it would have guessed, and
            for the first that did not.
        tokens, probabilities, likelihoods: the guess so far, what the draft model says of each token, and how likely it
            is that all up to it are right.
    """

    order: Order
    following: Following
    rows: list[SamplingRow] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    likelihoods: list[float] = field(default_factory=list)

    def wanted(self, start: int) -> list[SamplingRow]:
        """The rows when it is read from `start` to its end.

        Only where it is tried again are there several: otherwise their logits would cost more than they tell.
        """
        sequence, length = self.order.sequence, len(self.order.sequence.tokens)
        most = MOST_JUDGED if self.following.hopes else 0
        first = min(max(start + 1, self.following.judged, length - most), length)
        return [
            SamplingRow(self.following.sampling, sequence.tokens[:known], sequence.prompt_length)
            for known in range(first, length + 1)
        ]

    def read(self, outputs: list[TokenOutput]) -> None:
        """Take what was drawn from the rows; nothing was where it is not read to its end yet."""
        if not outputs:
            return
        tokens = self.order.sequence.tokens
        for output, came in zip(outputs[:-1], tokens[len(tokens) + 1 - len(outputs) :], strict=True):
            self.following.judge(_probability(output), output.token_id == came)
        self.following.judged = len(tokens)
        self.following.caught_up()
        self.add(outputs[-1])

    @property
    def guessed(self) -> list[tuple[int, float]]:
        """The tokens, and what the draft model says of each."""
        return list(zip(self.tokens, self.probabilities, strict=True))

    def next_part(self) -> Part:
        """The latest guessed token, to guess the one after it."""
        sequence = self.order.sequence
        return Part(self.tokens[-1:], len(sequence.tokens) + len(self.tokens) - 1, sequence.blocks, 1)

    def next_row(self) -> SamplingRow:
        sequence = self.order.sequence
        return SamplingRow(self.following.sampling, sequence.tokens, sequence.prompt_length, tuple(self.tokens))

    def add(self, output: TokenOutput) -> None:
        """Take a guessed token."""
        probability = _probability(output)
        before = self.likelihoods[-1] if self.likelihoods else 1.0
        self.tokens.append(output.token_id)
        self.probabilities.append(probability)
        self.likelihoods.append(before * self.following.acceptance.chance(probability))

    def goes_on(self, least: float) -> bool:
        """Whether a further token is worth its cost."""
        if len(self.tokens) >= self.order.count:
            return False
        return self.likelihoods[-1] * self.following.acceptance.average >= least


def _probability(output: TokenOutput) -> float:
    assert output.logprob is not None, "it was asked for"
    return exp(output.logprob)
