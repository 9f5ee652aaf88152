"""uvicorn's HTTP protocol with answers in our shape for requests that never reach the application."""

from __future__ import annotations

import json
import sys

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from freehold.server.errors import Failure

LINGER_SECONDS = 1.0
"""How long a refused client may go on sending before the connection is cut, so that it gets to read the answer."""


class Protocol(H11Protocol):
    """Answers malformed requests as JSON, and headers past the limit with 431."""

    _refused = False

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn while it handles h11's complaint about the bytes received."""
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
        if not self._refused:
            super().data_received(data)


def _failure(status: int) -> Failure:
    if status == 431:
        return Failure(431, "The request headers are too large.", "invalid_request_error", code="headers_too_large")
    return Failure(400, "This is not a valid HTTP request.", "invalid_request_error", code="invalid_http")
