"""uvicorn's HTTP protocol with answers in our shape for requests that never reach the application."""

from __future__ import annotations

import asyncio
import json
import sys

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol, RequestResponseCycle

from freehold.server.errors import Failure

REQUEST_SECONDS = 60.0
"""How long a client may take from the first byte of a request, or from connecting, to the last of its headers."""

LINGER_SECONDS = 1.0
"""How long a refused client may go on sending before the connection is cut, so that it gets to read the answer."""


class Protocol(H11Protocol):
    """Answers malformed requests as JSON and headers past the limit with 431, and does not wait for ever for either."""

    _refused = False
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn while it handles h11's complaint about the bytes received."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # an answer is under way; there is no room for another
            return
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None:
            cycle.disconnected = True  # whoever reads the rest of this request waits for nothing
            cycle.message_event.set()
        error = sys.exc_info()[1]
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        failure = _failure(status)
        body = json.dumps(failure.body()).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        response = h11.Response(status_code=failure.status, headers=headers, reason=STATUS_PHRASES[failure.status])
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self._refused = True
        # Closing with unread bytes in the socket would reset the connection and take the answer with it.
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._expect_request(over=True)

    def _expect_request(self, *, over: bool = False) -> None:
        """Starts the clock while a request is incomplete, and stops it when one is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        answering = cycle is not None and not cycle.response_complete
        if over or answering or self._refused:
            if self._due is not None:
                self._due.cancel()
                self._due = None
        elif self._due is None:
            self._due = self.loop.call_later(REQUEST_SECONDS, self.transport.close)


def _failure(status: int) -> Failure:
    if status == 431:
        return Failure(431, "The request headers are too large.", "invalid_request_error", code="headers_too_large")
    return Failure(400, "This is not a valid HTTP request.", "invalid_request_error", code="invalid_http")
