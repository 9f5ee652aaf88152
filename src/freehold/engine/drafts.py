"""Guesses of how sequences go on, and what makes them: plain data and one interface."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Listing
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from freehold.engine.sequence import Sequence
from freehold.engine.types import DraftSource

# Gets a sequence the cache blocks for so many tokens beyond its own; returns for how many there is room.
Room: TypeAlias = Callable[[Sequence, int], int]


@dataclass(frozen=True, slots=True)
class Draft:
    """Tokens to compute along with the next one of a sequence, and what they are counted under."""

    tokens: tuple[int, ...] = ()
    source: DraftSource = "lookup"


@dataclass(frozen=True, slots=True)
class Order:
    """A sequence whose next tokens are to be guessed, and how many at most. It holds the blocks for them."""

    sequence: Sequence
    count: int


@dataclass(frozen=True, slots=True)
class Guess:
    """The next tokens of a sequence, and how likely it is that the first is right, that the first two are, ..."""

    tokens: tuple[int, ...] = ()
    likelihoods: tuple[float, ...] = ()


class Drafter(Protocol):
    """Guesses how sequences go on. Whatever it guesses, results stay the same; good guesses save time."""

    @property
    def source(self) -> DraftSource:
        """What its guesses are counted under."""
        ...

    def offers(self, sequences: Listing[Sequence], most: Listing[int]) -> list[list[float]]:
        """For each sequence, how likely it is to guess its next token right, the next two, and so on; [] for no guess.

        Called once for each step that could have drafts.

        Args:
            most: guesses at most, for each.
        """
        ...

    def cost(self, counts: Listing[int], plain_seconds: float | None) -> float:
        """What it takes to guess so many tokens for as many sequences, in steps without drafts.

        Args:
            plain_seconds: what such a step takes; None before that is measured.
        """
        ...

    def reach(self, count: int) -> int:
        """How many tokens it may guess where it turns out to be surer of them and `count` were expected."""
        ...

    def guess(self, orders: Listing[Order], least: float) -> list[Guess]:
        """A guess for each sequence, as long as was ordered or shorter.

        Args:
            least: how likely a further token must be, all before it included, to be worth what it costs.
        """
        ...

    def renewed(self, block: int) -> None:
        """What a cache block held is lost: it has a new owner."""
        ...
