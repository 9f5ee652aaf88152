"""Prompt lookup as a source of drafts."""

from __future__ import annotations

from collections.abc import Sequence as Listing

from freehold.engine.drafts import Guess, Order
from freehold.engine.sequence import Sequence
from freehold.engine.types import DraftSource


class LookupDrafter:
    """Guesses from what a sequence said before; see `PromptLookup`. That takes no time worth counting."""

    source: DraftSource = "lookup"

    def offers(self, sequences: Listing[Sequence], most: Listing[int]) -> list[list[float]]:
        for sequence in sequences:
            sequence.lookup.read(sequence.tokens)
        return [sequence.lookup.likelihoods(count) for sequence, count in zip(sequences, most, strict=True)]

    def cost(self, counts: Listing[int], plain_seconds: float | None) -> float:
        return 0.0

    def reach(self, count: int) -> int:
        return count

    def guess(self, orders: Listing[Order], least: float) -> list[Guess]:
        return [
            Guess(
                order.sequence.lookup.guess(order.sequence.tokens, order.count),
                tuple(order.sequence.lookup.likelihoods(order.count)),
            )
            for order in orders
        ]

    def renewed(self, block: int) -> None:
        """It keeps nothing in blocks."""
