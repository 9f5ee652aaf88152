"""How many tokens to draft for the next step: as many as the measured cost of further rows makes worth it."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from math import inf

from freehold.engine.sequence import Sequence

# Rows of a step with drafts at most; what more of them cost is no longer small beside what they save.
MOST_ROWS = 16
# Totals that are tried: kernels treat rows in groups, so few numbers of them are worth it.
TOTALS = (2, 3, 4, 5, 6, 8, 12, MOST_ROWS)
# What doubling the rows is taken to add to the cost of a step before that is measured, in shares of it.
UNMEASURED = 0.4
# What it adds at least, whatever was measured: rows are never free.
LEAST_COST = 0.05
# Expected tokens per second over those without drafts; less is within the error of both numbers.
LEAST_GAIN = 1.05
# Steps after which a cost is measured again, for contexts grow and machines get other things to do.
LIFETIME = 256
# Weight of the latest cost. A longer one may be somebody else's doing, so it counts for less.
SMOOTHING_DOWN, SMOOTHING_UP = 0.4, 0.1


class RowCosts:
    """Seconds of a step of decoding by its rows, of one sequence or of several. Results do not depend on it."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._noted: dict[int, int] = {}  # the step in which each was measured
        self._steps = 0

    def note(self, rows: int, seconds: float) -> None:
        """A step that did nothing but decode took that long."""
        self._steps += 1
        if rows > MOST_ROWS:
            return
        previous = self._seconds[rows] if self._is_known(rows) else seconds
        smoothing = SMOOTHING_DOWN if seconds < previous else SMOOTHING_UP
        self._seconds[rows] = previous + smoothing * (seconds - previous)
        self._noted[rows] = self._steps

    def relative(self, rows: int, plain: int) -> float:
        """What a step of `rows` costs, in steps of `plain` rows; infinity while those are to be measured first."""
        if not self._is_known(plain):
            return inf
        if not self._is_known(rows):
            return 1 + UNMEASURED * (rows - plain) / plain
        # A plain step that something held up must not make drafts look cheap: fewer rows never take longer.
        least = min(self._seconds[more] for more in self._noted if more >= plain and self._is_known(more))
        return max(self._seconds[rows] / least, 1 + LEAST_COST * (rows - plain) / plain)

    def _is_known(self, rows: int) -> bool:
        return rows in self._noted and self._steps - self._noted[rows] < LIFETIME


class Speculation:
    """Chooses drafts by what they are expected to save. Plain Python, without a clock.

    Drafts are for models that keep something for each position: what a rejected token left behind is written over. A
    state has taken every token in and cannot give one back, so models with states decode without drafts.

    Args:
        costs: what steps cost, measured by whoever runs them.
    """

    def __init__(self, costs: RowCosts) -> None:
        self._costs = costs

    def drafts(self, sequences: Listing[Sequence]) -> list[tuple[int, ...]]:
        """A draft for each of the sequences that decode together, () for most.

        The likeliest guesses come first, whosesoever they are; the number of them is the one that promises the most
        tokens in the time.
        """
        plain = len(sequences)
        nothing: list[tuple[int, ...]] = [()] * plain
        if plain >= MOST_ROWS:
            return nothing
        guesses = [
            (likelihood, index)
            for index, sequence in enumerate(sequences)
            for likelihood in _likelihoods(sequence, MOST_ROWS - plain)
        ]
        if not guesses:
            return nothing
        guesses.sort(key=lambda guess: -guess[0])
        counts = [0] * plain
        for _, index in guesses[: self._worthwhile(plain, [likelihood for likelihood, _ in guesses])]:
            counts[index] += 1
        return [
            sequence.lookup.guess(sequence.tokens, count) if count else ()
            for sequence, count in zip(sequences, counts, strict=True)
        ]

    def _worthwhile(self, plain: int, likelihoods: Listing[float]) -> int:
        """How many of the guesses to compute, likeliest first."""
        best, most_gain = 0, LEAST_GAIN
        for total in TOTALS:
            count = total - plain
            if not 0 < count <= len(likelihoods):
                continue
            tokens = 1 + sum(likelihoods[:count]) / plain
            gain = tokens / self._costs.relative(total, plain)
            if gain > most_gain:
                best, most_gain = count, gain
        return best


def _likelihoods(sequence: Sequence, most: int) -> list[float]:
    """Of the guesses for a sequence that can still be drawn: the last token before its limit needs no draft."""
    sequence.lookup.read(sequence.tokens)
    return sequence.lookup.likelihoods(min(most, sequence.limit - len(sequence.tokens) - 1))
