"""What a draft model knows of one sequence."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from dataclasses import replace
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

from freehold.engine.acceptance import Acceptance

if TYPE_CHECKING:
    from freehold.engine.sequence import Sequence

# Tokens that a sequence goes without drafts before its draft model is given another chance; twice as many each time.
FIRST_WAIT = 16
# With more of them to wait for, it is given no further chance in this sequence.
LONGEST_WAIT = 128
# How likely guesses are taken to come true while there is such a chance.
HOPE = 0.8


class Following:
    """How a draft model's guesses of one sequence fare, and when it is worth another try.

    Args:
        sequence: the sequence.
        general: chances in all sequences, to begin with and to be learned along.
        scout: whether to begin with those of an unknown model instead, and to give it further chances.

    Attributes:
        sampling: how the sequence draws, with log-probabilities.
        acceptance: the chances in this sequence.
        hopes: whether it is to be tried again although its guesses did not come true.
        judged: tokens, from the first on, whose guesses were judged or that were there before any guess.
        start: position of the first token that was guessed and is not judged yet.
        guessed: those tokens, and the probability that the draft model gave to each.
        places: where their keys and values were put; see `DraftCache.places`.
        readable: whether the draft model has all of the sequence's tokens.
    """

    __slots__ = (
        "_general",
        "_seen",
        "_wait",
        "acceptance",
        "guessed",
        "hopes",
        "judged",
        "places",
        "readable",
        "sampling",
        "start",
    )

    def __init__(self, sequence: Sequence, general: Acceptance, *, scout: bool) -> None:
        self._general = general
        self._wait: float = FIRST_WAIT if scout else inf
        self.hopes = False
        self._seen = 0
        self.sampling = replace(sequence.sampling, logprobs=0)
        self.acceptance = Acceptance() if scout else Acceptance(general)
        self.judged = sequence.prompt_length
        self.start = 0
        self.guessed: list[tuple[int, float]] = []
        self.places: list[tuple[int, int]] = []
        self.readable = True

    def look_at(self, tokens: Listing[int], vocabulary: int) -> None:
        """Take note of the tokens since last time, which a draft model cannot read from `vocabulary` on."""
        if self._seen < len(tokens):
            self.readable &= max(islice(tokens, self._seen, None)) < vocabulary
            self._seen = len(tokens)

    def expected(self, unread: int) -> float:
        """How likely the next guess is to come true.

        Args:
            unread: tokens that the draft model has not read yet, for it was not asked.
        """
        if self._wait <= min(unread, LONGEST_WAIT):
            self.hopes = True
        return max(self.acceptance.average, HOPE) if self.hopes else self.acceptance.average

    def caught_up(self) -> None:
        """It was asked again, and has read all that it had not read."""
        self._wait = 2 * self._wait if self.hopes else FIRST_WAIT
        self.hopes = False

    def judge(self, probability: float, came_true: bool) -> None:
        """A guess was held against the token that came."""
        self.acceptance.judge(probability, came_true)
        self._general.judge(probability, came_true)

    def guess(self, start: int, guessed: list[tuple[int, float]], places: list[tuple[int, int]]) -> None:
        """The tokens from `start` on were guessed; see the attributes."""
        self.start, self.guessed, self.places = start, guessed, places

    def settle(self, tokens: Listing[int]) -> int:
        """Hold what was guessed against the tokens that came.

        Returns:
            How many of the guesses were right, up to the first that was not.
        """
        right = 0
        for position, (token, probability) in enumerate(self.guessed, self.start):
            if position >= len(tokens):
                break
            came_true = tokens[position] == token
            self.judge(probability, came_true)
            self.judged = position + 1
            if not came_true:
                break
            right += 1
        self.guessed = []
        return right
