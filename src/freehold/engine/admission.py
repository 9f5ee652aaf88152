"""Who may come in: a fixed number of permits, taken before any work is spent on a request."""

from __future__ import annotations

import threading
from time import monotonic
from types import TracebackType

from freehold.errors import EngineStopped, InvalidRequest, Overloaded

SHORTEST_RETRY = 1.0
LONGEST_RETRY = 60.0
SMOOTHING = 0.2


class Permit:
    """The right to submit `count` sequences.

    Each submitted sequence takes one of them over and gives it back when it ends; leaving the `with` block, or
    `release`, gives back those that were never submitted. Safe to use from several threads.
    """

    def __init__(self, admission: Admission, count: int) -> None:
        self._admission = admission
        self._left = count
        self._lock = threading.Lock()

    def take(self) -> None:
        """Hand one permit over to a submitted sequence.

        Raises:
            InvalidRequest: all of them are handed over already.
        """
        with self._lock:
            if self._left == 0:
                raise InvalidRequest("more sequences were submitted than the permit was taken for")
            self._left -= 1

    def give_back(self) -> None:
        """Undo one `take`: the sequence was refused after all."""
        with self._lock:
            self._left += 1

    def release(self) -> None:
        """Return what was not handed over; a second call does nothing."""
        with self._lock:
            unused, self._left = self._left, 0
        self._admission.put_back(unused)

    def __enter__(self) -> Permit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


class Admission:
    """Counts the permits of one engine.

    Args:
        capacity: sequences that may be in the engine at once, running and waiting together.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._taken = 0
        self._open = True
        self._lock = threading.Condition()
        self._mean_seconds = 0.0

    def try_acquire(self, count: int = 1) -> Permit:
        """Take `count` permits at once, or none; never waits.

        Raises:
            Overloaded: fewer are left; retry_after estimates when that will have changed.
            EngineStopped: the engine takes no new work.
            InvalidRequest: count is more than there will ever be, or not positive.
        """
        if not 1 <= count <= self.capacity:
            raise InvalidRequest(
                f"{count} sequences were asked for at once; between 1 and {self.capacity} can be taken", parameter="n"
            )
        with self._lock:
            if not self._open:
                raise EngineStopped("the engine is shutting down and takes no new requests")
            if self._taken + count > self.capacity:
                raise Overloaded(
                    f"{self._taken} of {self.capacity} sequences are taken and {count} more were asked for",
                    retry_after=self._retry_after(),
                    hint="try again later, or raise max_waiting",
                )
            self._taken += count
        return Permit(self, count)

    def finish(self, started: float) -> None:
        """Return one permit that a sequence held since `started` (of `time.monotonic`)."""
        seconds = monotonic() - started
        with self._lock:
            self._mean_seconds += SMOOTHING * (seconds - self._mean_seconds)
            self._taken -= 1
            self._lock.notify_all()

    def put_back(self, count: int) -> None:
        """Return permits that no sequence used."""
        with self._lock:
            self._taken -= count
            self._lock.notify_all()

    def wait_until_empty(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until no permit is out; whether that came to be."""
        with self._lock:
            return self._lock.wait_for(lambda: self._taken == 0, timeout)

    def close(self) -> None:
        """Refuse everyone from now on."""
        with self._lock:
            self._open = False

    @property
    def taken(self) -> int:
        """Permits that are out."""
        with self._lock:
            return self._taken

    def _retry_after(self) -> float:
        """With all of them out, one comes back every mean_seconds / capacity."""
        return min(LONGEST_RETRY, max(SHORTEST_RETRY, self._mean_seconds / self.capacity))
