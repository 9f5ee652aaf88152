"""How often the guesses of a draft model come true."""

from __future__ import annotations

from bisect import bisect

# Bounds of the classes of guesses, by the probability that the draft model itself gives them.
BOUNDS = (0.3, 0.5, 0.7, 0.85, 0.95)
# How likely a guess of each class is to come true, and a guess of which nothing is known yet, before any was judged.
FIRST_CHANCES = (0.2, 0.35, 0.55, 0.75, 0.88, 0.96)
FIRST_AVERAGE = 0.7
# Weight of the latest guess in the chances.
SMOOTHING = 0.1


class Acceptance:
    """Chances of a draft model's guesses, learned from those that were held against what came.

    Args:
        like: whose chances to begin with; None for those of a model of which nothing is known.

    Attributes:
        average: how likely the next guess is to come true, before it is made.
    """

    __slots__ = ("_chances", "average")

    def __init__(self, like: Acceptance | None = None) -> None:
        self._chances: list[float] = list(FIRST_CHANCES if like is None else like._chances)
        self.average: float = FIRST_AVERAGE if like is None else like.average

    def chance(self, probability: float) -> float:
        """How likely a guess is to come true to which the draft model gives this probability."""
        return self._chances[bisect(BOUNDS, probability)]

    def judge(self, probability: float, came_true: bool) -> None:
        """A guess to which the draft model gave this probability was held against what came."""
        chosen = bisect(BOUNDS, probability)
        self._chances[chosen] += SMOOTHING * (came_true - self._chances[chosen])
        self.average += SMOOTHING * (came_true - self.average)
