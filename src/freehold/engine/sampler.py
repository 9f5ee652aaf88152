"""What draws tokens from logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from freehold.engine.types import SamplingOptions, TokenOutput


@dataclass(frozen=True, slots=True)
class SamplingRow:
    """A sequence whose next token is to be drawn.

    Attributes:
        options: how to draw; its seed is set.
        tokens: ids of the prompt, followed by those generated so far.
        prompt_length: how many of tokens are the prompt's.
        drafted: tokens taken to follow those; it is the one after them that is drawn.
    """

    options: SamplingOptions
    tokens: Sequence[int]
    prompt_length: int
    drafted: Sequence[int] = ()

    @property
    def index(self) -> int:
        """How many tokens were drawn before this one. Together with the seed it keys the draw."""
        return len(self.tokens) + len(self.drafted) - self.prompt_length


class Sampler(Protocol):
    """Draws one token per row, each from its own row only."""

    def __call__(self, logits: npt.NDArray[np.float32], rows: Sequence[SamplingRow]) -> list[TokenOutput]:
        """logits: [rows, vocabulary]; may be overwritten."""
        ...
