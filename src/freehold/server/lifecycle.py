"""Loading, ready, draining: what the server is doing as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from freehold.server.errors import NotReady


class Phase(StrEnum):
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class Lifecycle:
    """The phase of the server, and whether requests are being answered. Used on the event loop only."""

    def __init__(self) -> None:
        self.phase = Phase.LOADING
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Requests that are being answered."""
        return self._in_flight

    @contextmanager
    def request(self) -> Iterator[None]:
        """While it is entered, a request is being answered."""
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if self._in_flight == 0:
                self._idle.set()

    async def wait_until_idle(self) -> None:
        """Returns at the first moment when no request is being answered."""
        await self._idle.wait()

    def check(self) -> None:
        """
        Raises:
            NotReady: the server takes no requests for models at present.
        """
        if self.phase is Phase.LOADING:
            raise NotReady("The server is still loading its models.", code="loading")
        if self.phase is Phase.DRAINING:
            raise NotReady("The server is shutting down and takes no new requests.", code="shutting_down")
