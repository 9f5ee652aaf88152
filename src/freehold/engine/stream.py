"""The outputs of one request, as an iterator."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import Protocol

from freehold.engine.types import Output


class Cancellable(Protocol):
    def cancel(self) -> None: ...


class OutputStream(Iterator[Output]):
    """Yields outputs up to and including the last one. Closing or dropping it before that cancels the request."""

    def __init__(self, outputs: SimpleQueue[Output], ticket: Cancellable) -> None:
        self._outputs = outputs
        self._ticket = ticket
        self._ended = False

    def __next__(self) -> Output:
        if self._ended:
            raise StopIteration
        output = self._outputs.get()
        self._ended = output.finish_reason is not None
        return output

    def close(self) -> None:
        """Cancel the request if it has not ended; iteration stops at once."""
        if not self._ended:
            self._ended = True
            self._ticket.cancel()

    def __enter__(self) -> OutputStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
