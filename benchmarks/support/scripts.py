"""Answers that are written beforehand, so that a model with random weights can be timed on any kind of text."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freehold.engine.native_sampler import NativeSampler
from freehold.engine.sampler import SamplingRow
from freehold.engine.types import TokenOutput

SPAN, LINK = 24, 3


class Script:
    """Draws as usual, for the time that it takes, and then says the next token of its text.

    Attributes:
        text: the answer, token by token.
    """

    def __init__(self) -> None:
        self.text: Sequence[int] = ()
        self._sampler = NativeSampler()

    def __call__(self, logits: npt.NDArray[np.float32], rows: Sequence[SamplingRow]) -> list[TokenOutput]:
        self._sampler(logits, rows)
        return [TokenOutput(self.text[row.index]) for row in rows]


class Guesser:
    """A draft model's part of a script: guesses the next token of the text, and is right as often as it is told.

    Attributes:
        text: the answer, token by token.
        right: chance of each guess, whatever came before it.
    """

    PROBABILITY = 0.8  # what it says of every guess, so that nothing can be learned from it

    def __init__(self, right: float) -> None:
        self.text: Sequence[int] = ()
        self.right = right
        self._sampler = NativeSampler()

    def __call__(self, logits: npt.NDArray[np.float32], rows: Sequence[SamplingRow]) -> list[TokenOutput]:
        self._sampler(logits, rows)
        return [TokenOutput(self._guess(row.index), math.log(self.PROBABILITY)) for row in rows]

    def _guess(self, index: int) -> int:
        if index >= len(self.text) or random.Random(index).random() >= self.right:
            return self.text[0]
        return self.text[index]


def passages(context: Sequence[int], length: int, vocabulary: int) -> list[int]:
    """An extraction: passages of SPAN tokens from anywhere in the context, linked by LINK tokens that are not."""
    draw, answer = random.Random(1), list[int]()
    while len(answer) < length:
        start = draw.randrange(len(context) - SPAN)
        answer += [draw.randrange(vocabulary) for _ in range(LINK)]
        answer += context[start : start + SPAN]
    return answer[:length]


def nothing_alike(length: int, vocabulary: int) -> list[int]:
    """Random tokens: there is nothing to guess from."""
    draw = random.Random(2)
    return [draw.randrange(vocabulary) for _ in range(length)]


def misleading(context: Sequence[int], length: int, vocabulary: int) -> list[int]:
    """Three tokens of the context in a row and then another than there, again and again: every guess is wrong."""
    draw, answer = random.Random(3), list[int]()
    while len(answer) < length:
        start = draw.randrange(len(context) - 3)
        other = (context[start + 3] + 1 + draw.randrange(vocabulary - 1)) % vocabulary
        answer += [*context[start : start + 3], other]
    return answer[:length]
