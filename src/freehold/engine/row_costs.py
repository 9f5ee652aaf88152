"""What steps cost, by their rows."""

from __future__ import annotations

from math import inf

# Rows of a step with drafts at most; what more of them cost is no longer small beside what they save.
MOST_ROWS = 16
# What doubling the rows is taken to add to the cost of a step before that is measured, in steps without drafts.
UNMEASURED = 0.4
# What it adds at least, whatever was measured: rows are never free.
LEAST_COST = 0.05
# Steps after which a cost is measured again, for contexts grow and machines get other things to do.
LIFETIME = 256
# Weight of the latest cost. A longer one may be somebody else's doing, so it counts for less.
SMOOTHING_DOWN, SMOOTHING_UP = 0.4, 0.1
# Measurements before a pass counts as expensive: the first ones fetch weights and meet what else the machine does.
TRUSTED = 3


class RowCosts:
    """Seconds of a step of decoding by its rows, of one sequence or of several. Results do not depend on it."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._noted: dict[int, int] = {}  # the step in which each was measured
        self._steps = 0
        self._relatives: dict[int, list[float]] = {}  # by plain rows what 0, 1, 2 and more cost, as of the last step

    def note(self, rows: int, seconds: float) -> None:
        """A step that did nothing but decode took that long."""
        self._steps += 1
        self._relatives.clear()
        if rows > MOST_ROWS:
            return
        previous = self._seconds[rows] if self._is_known(rows) else seconds
        self._seconds[rows] = _smoothed(previous, seconds)
        self._noted[rows] = self._steps

    def relative(self, rows: int, plain: int) -> float:
        """What a step of `rows` costs, in steps of `plain` rows; infinity while those are to be measured first, and for
        more than MOST_ROWS.

        Args:
            rows: at least `plain`.
        """
        if rows > MOST_ROWS:
            return inf
        if plain not in self._relatives:
            self._relatives[plain] = self._relative_to(plain)
        return self._relatives[plain][rows]

    def _relative_to(self, plain: int) -> list[float]:
        if not self._is_known(plain):
            return [inf] * (MOST_ROWS + 1)
        known = [rows for rows in range(plain, MOST_ROWS + 1) if self._is_known(rows)]
        # A plain step that something held up must not make drafts look cheap: fewer rows never take longer.
        least = min(self._seconds[rows] for rows in known)
        costs = [inf] * (MOST_ROWS + 1)
        for rows in known:
            costs[rows] = max(self._seconds[rows] / least, 1 + LEAST_COST * (rows - plain) / plain)
        for fewer, more in zip(known, [*known[1:], MOST_ROWS + 1], strict=True):
            at_most = min(costs[more:], default=inf)
            for rows in range(fewer + 1, more):
                costs[rows] = min(costs[fewer] + UNMEASURED * (rows - fewer) / fewer, at_most)
        return costs

    def seconds(self, rows: int) -> float | None:
        """What a step of `rows` takes, or else one of the nearest number that was measured; None without any."""
        known = [other for other in self._noted if self._is_known(other)]
        if not known:
            return None
        return self._seconds[min(known, key=lambda other: (abs(other - rows), other))]

    def _is_known(self, rows: int) -> bool:
        return rows in self._noted and self._steps - self._noted[rows] < LIFETIME


class PassCosts:
    """Seconds of a draft model's passes by their rows. What is never asked for is never measured: they age by steps."""

    def __init__(self) -> None:
        self._measured: dict[int, tuple[float, int]] = {}  # seconds, and how often they were measured
        self._noted: dict[int, int] = {}  # the step in which each was measured last
        self._steps = 0

    def note(self, rows: int, seconds: float) -> None:
        """A pass took that long."""
        previous, count = self._measured.get(rows, (seconds, 0))
        latest = _smoothed(previous, seconds) if count >= TRUSTED else min(previous, seconds)
        self._measured[rows] = latest, count + 1
        self._noted[rows] = self._steps

    def age(self) -> None:
        """A step of the model that is drafted for went by."""
        self._steps += 1
        for rows in [rows for rows, step in self._noted.items() if self._steps - step >= LIFETIME]:
            del self._measured[rows], self._noted[rows]

    def seconds(self, rows: int, unmeasured: float) -> float:
        """What a pass takes.

        Args:
            unmeasured: what to take it for as long as that has not been measured often enough.
        """
        seconds, count = self._measured.get(rows, (unmeasured, 0))
        return seconds if count >= TRUSTED else min(seconds, unmeasured)


def _smoothed(previous: float, seconds: float) -> float:
    return previous + (SMOOTHING_DOWN if seconds < previous else SMOOTHING_UP) * (seconds - previous)
