"""One line per request in the log and its counts in the metrics; never anything of what was asked or answered."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, field
from time import perf_counter

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from freehold.engine.types import Usage
from freehold.server.errors import internal
from freehold.server.lifecycle import Lifecycle
from freehold.server.metrics import Metrics

LOGGER = logging.getLogger("freehold.access")

CLIENT_CLOSED = 499
"""Not a status of HTTP's: nobody was left to send one to."""

_KEY = "freehold.record"
_METHODS = frozenset(("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"))


@dataclass(slots=True)
class Record:
    """What is noted about a request while it is answered.

    Attributes:
        id: also sent as x-request-id, so that a client's complaint leads to the line in the log.
        route: the path as registered; requests for others share "other", so that nobody can flood the metrics.
        status: of the answer; what it says when the client leaves first.
        model: its name, once it is known to be one of ours.
        usage: tokens, once they are counted.
    """

    id: str = field(default_factory=lambda: f"req-{secrets.token_hex(8)}")
    route: str = "other"
    status: int = CLIENT_CLOSED
    model: str | None = None
    usage: Usage | None = None


def record_of(scope: Scope) -> Record:
    """The record of the request that this scope belongs to."""
    record = scope[_KEY]
    assert isinstance(record, Record)
    return record


class AccessLog:
    """Outermost of all: sees every request and what became of it, and answers for errors that nobody foresaw."""

    def __init__(self, app: ASGIApp, metrics: Metrics, lifecycle: Lifecycle) -> None:
        self._app = app
        self._metrics = metrics
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = scope[_KEY] = Record()
        answered = False

        async def noting(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered, record.status = True, message["status"]
                MutableHeaders(scope=message).append("x-request-id", record.id)
            await send(message)

        started = perf_counter()
        try:
            with self._lifecycle.request():
                await self._app(scope, receive, noting)
        except Exception:
            LOGGER.exception("%s failed", record.id)
            if answered:
                raise  # too late for an answer; the connection has to be cut
            await internal().response()(scope, receive, noting)
        finally:
            self._note(scope, record, perf_counter() - started)

    def _note(self, scope: Scope, record: Record, seconds: float) -> None:
        if (route := scope.get("route")) is not None:
            record.route = route.path
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._metrics.http_requests.labels(method, record.route, str(record.status)).inc()
        self._metrics.http_seconds.labels(record.route).observe(seconds)
        LOGGER.info("%s", _line(scope, method, record, seconds))


def _line(scope: Scope, method: str, record: Record, seconds: float) -> str:
    # The raw path is still percent-encoded, so it cannot hold a line break; the query is left out, as it may hold keys.
    path = scope.get("raw_path", b"").decode("ascii", "replace")[:200]
    line = f"{record.id} {method} {path} {record.status} {seconds * 1000:.0f}ms"
    if record.model is not None:
        line += f" model={record.model}"
    if record.usage is not None:
        line += f" prompt={record.usage.prompt_tokens} cached={record.usage.cached_tokens}"
        line += f" completion={record.usage.completion_tokens}"
    return line
