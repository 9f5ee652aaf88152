"""Which sequences to draft for, from what source, and how far: as measured costs and chances make it worth it."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from dataclasses import dataclass
from itertools import accumulate

from freehold.engine.drafts import Draft, Drafter, Guess, Order, Room
from freehold.engine.row_costs import MOST_ROWS, RowCosts
from freehold.engine.sequence import Sequence

# Totals of rows that are tried: kernels treat rows in groups, so few numbers of them are worth it.
TOTALS = (2, 3, 4, 5, 6, 8, 12, MOST_ROWS)
# Expected tokens per second over those of the best plan so far; less is within the error of both numbers.
LEAST_GAIN = 1.05


@dataclass(frozen=True, slots=True)
class _Plan:
    """Drafts to ask for.

    Attributes:
        gain: expected tokens per second over those without drafts.
        counts: tokens to draft for each sequence.
        drafters: the source for each sequence; None where nobody offers anything.
        least: how likely a further token must be so that it does not lower the gain.
    """

    gain: float
    counts: tuple[int, ...]
    drafters: tuple[Drafter | None, ...] = ()
    least: float = 1.0


class Speculation:
    """Chooses drafts by what they are expected to save. Plain Python, without a clock.

    Drafts are for models that keep something for each position: what a rejected token left behind is written over. A
    state has taken every token in and cannot give one back, so models with states decode without drafts.

    Args:
        costs: what steps cost, measured by whoever runs them.
        drafters: sources of drafts, cheapest first. A further one is asked where that promises to be worth its cost.
    """

    def __init__(self, costs: RowCosts, drafters: Listing[Drafter]) -> None:
        self._costs = costs
        self._drafters = drafters

    def drafts(self, sequences: Listing[Sequence], room: Room) -> list[Draft]:
        """A draft for each of the sequences that decode together, an empty one for most.

        The likeliest guesses come first, whosesoever they are; the number of them is the one that promises the most
        tokens in the time.

        Args:
            room: gets the blocks for a draft.
        """
        plain = len(sequences)
        if plain >= MOST_ROWS:
            return [Draft()] * plain
        best = _Plan(1.0, (0,) * plain)
        offers: list[tuple[Drafter | None, list[float]]] = [(None, [])] * plain
        # The last token before its limit needs no draft.
        most = [min(MOST_ROWS - plain, sequence.limit - len(sequence.tokens) - 1) for sequence in sequences]
        for drafter in self._drafters:
            better = [
                (index, offer)
                for index, offer in enumerate(drafter.offers(sequences, most))
                if offer and offer[0] > max(offers[index][1], default=0.0)
            ]
            for index, offer in better:
                offers[index] = (drafter, offer)
            plan = self._plan(offers) if better else best
            if plan.gain > best.gain * LEAST_GAIN:
                best = plan
        return self._carried_out(best, sequences, room) if any(best.counts) else [Draft()] * plain

    def renewed(self, block: int) -> None:
        """What a cache block held is lost: it has a new owner."""
        for drafter in self._drafters:
            drafter.renewed(block)

    def _plan(self, offers: Listing[tuple[Drafter | None, list[float]]]) -> _Plan:
        """The best number of the guesses that are on offer."""
        plain, drafters = len(offers), tuple(drafter for drafter, _ in offers)
        guesses = _likeliest([likelihoods for _, likelihoods in offers])
        best = _Plan(0.0, (0,) * plain)
        seconds = self._costs.seconds(plain)
        for total, tokens in _totals(plain, [likelihood for likelihood, _ in guesses]):
            counts = _counts(plain, guesses[: total - plain])
            drafting, rows = self._drafting(drafters, counts, seconds), self._costs.relative(total, plain)
            gain = tokens / (rows + drafting)
            if gain > best.gain:
                least = gain * plain * (rows - 1 + drafting) / (total - plain)
                best = _Plan(gain, counts, drafters, least)
        return best

    def _drafting(self, drafters: Listing[Drafter | None], counts: Listing[int], seconds: float | None) -> float:
        """What it takes to make the drafts, in steps without any, which take so many seconds."""
        return sum(
            drafter.cost([count for count, by in zip(counts, drafters, strict=True) if by is drafter], seconds)
            for drafter in self._drafters
        )

    def _carried_out(self, plan: _Plan, sequences: Listing[Sequence], room: Room) -> list[Draft]:
        """Have the drafts made, and take as much of them as is worth computing now that they are known."""
        guesses = [Guess()] * len(sequences)
        for drafter in self._drafters:
            chosen = [index for index, by in enumerate(plan.drafters) if by is drafter and plan.counts[index]]
            if not chosen:
                continue
            orders = []
            for index in chosen:
                sequence = sequences[index]
                most = min(drafter.reach(plan.counts[index]), sequence.limit - len(sequence.tokens) - 1)
                orders.append(Order(sequence, room(sequence, most)))
            for index, guess in zip(chosen, drafter.guess(orders, plan.least), strict=True):
                guesses[index] = guess
        seconds = self._costs.seconds(len(sequences))
        counts = self._worthwhile(guesses, self._drafting(plan.drafters, plan.counts, seconds))
        return [
            Draft(guess.tokens[:count], by.source) if by is not None else Draft()
            for guess, count, by in zip(guesses, counts, plan.drafters, strict=True)
        ]

    def _worthwhile(self, guesses: Listing[Guess], spent: float) -> tuple[int, ...]:
        """How much of each guess to compute.

        Args:
            spent: what it took to make them, in steps without drafts.
        """
        plain = len(guesses)
        likeliest = _likeliest([guess.likelihoods for guess in guesses])
        best, most_gain = 0, 1 / (1 + spent)
        for total, tokens in _totals(plain, [likelihood for likelihood, _ in likeliest]):
            gain = tokens / (self._costs.relative(total, plain) + spent)
            if gain > most_gain:
                best, most_gain = total - plain, gain
        return _counts(plain, likeliest[:best])


def _likeliest(likelihoods: Listing[Listing[float]]) -> list[tuple[float, int]]:
    """(likelihood, index of the sequence) of every guess, likeliest first, and those of a sequence in their order."""
    guesses = [(likelihood, index) for index, offered in enumerate(likelihoods) for likelihood in offered]
    return sorted(guesses, key=lambda guess: -guess[0])


def _totals(plain: int, likelihoods: Listing[float]) -> list[tuple[int, float]]:
    """(rows, expected tokens for each sequence) of steps with some of the guesses, likeliest first."""
    sums = list(accumulate(likelihoods))
    return [
        (total, 1 + sums[total - plain - 1] / plain) for total in TOTALS if plain < total <= plain + len(likelihoods)
    ]


def _counts(plain: int, guesses: Listing[tuple[float, int]]) -> tuple[int, ...]:
    counts = [0] * plain
    for _, index in guesses:
        counts[index] += 1
    return tuple(counts)
