"""How much of a prompt to compute at once on a machine of unknown speed."""

from __future__ import annotations

# Between two steps everyone gets a turn: sequences that decode, and cancellations.
STEP_SECONDS = 0.4
FIRST_CHUNK = 64
SMALLEST_CHUNK = 16
SMOOTHING = 0.3
CLOCK_TICK = 1e-6


class Pace:
    """Prompt tokens per step, such that a step lasts about STEP_SECONDS. Results do not depend on it.

    Args:
        most: upper limit of the chunk.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seconds_per_token: float | None = None

    @property
    def chunk(self) -> int:
        """Most prompt tokens for the next step."""
        if self._seconds_per_token is None:
            return min(FIRST_CHUNK, self._most)
        return min(self._most, max(SMALLEST_CHUNK, int(STEP_SECONDS / self._seconds_per_token)))

    @property
    def seconds_per_token(self) -> float:
        """What a token takes among many; 0 before that is known."""
        return self._seconds_per_token or 0.0

    def note(self, tokens: int, seconds: float) -> None:
        """A step took that long. Short ones say more about their overhead than about tokens."""
        if tokens < SMALLEST_CHUNK:
            return
        latest = max(seconds, CLOCK_TICK) / tokens
        previous = self._seconds_per_token
        self._seconds_per_token = latest if previous is None else previous + SMOOTHING * (latest - previous)
