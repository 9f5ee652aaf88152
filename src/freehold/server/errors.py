"""One tree of errors, one body: every answer of 4xx and 5xx has message, type, param and code.

    FreeholdError (freehold.errors)
    ├── InvalidRequest                     400
    │   ├── ContextExceeded                400, context_length_exceeded
    │   ├── RequestTooLarge                413
    │   ├── RequestTimeout                 408
    │   └── UnsupportedEncoding            415
    ├── TemplateError                      400
    ├── ModelNotFound                      404, model_not_found
    ├── Refused                            403: this browser page, or this host name, may not talk to the server
    ├── Overloaded                         429, with Retry-After
    └── EngineStopped, NotReady            503, with Retry-After
    anything else                          500, its text kept out of the body

A body never holds a path of this machine, an address or a traceback: what is not written for the client is logged.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from freehold.errors import (
    ContextExceeded,
    EngineStopped,
    FreeholdError,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    TemplateError,
)

LOGGER = logging.getLogger("freehold.server")

NOT_READY_RETRY_SECONDS = 5.0
"""What a client is told to wait while the server loads or shuts down."""


class RequestTooLarge(InvalidRequest):
    """The body is larger than the server accepts."""


class RequestTimeout(InvalidRequest):
    """The body did not arrive in time."""


class UnsupportedEncoding(InvalidRequest):
    """The body is compressed."""


class Refused(FreeholdError):
    """The Host or Origin header is not one that this server answers to.

    Args:
        code: a short machine-readable reason.
    """

    def __init__(self, message: str, *, code: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class NotReady(FreeholdError):
    """The server is loading its models, or shutting down.

    Args:
        code: a short machine-readable reason.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Failure:
    """What the client is told about an error.

    Attributes:
        status: the HTTP status.
        message: for a person; no secrets of this machine.
        kind: OpenAI's `type`.
        parameter: the field at fault, as the client spelled it.
        code: a short machine-readable reason.
        headers: beside the usual ones.
    """

    status: int
    message: str
    kind: str
    parameter: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, dict[str, str | None]]:
        """OpenAI's `ErrorResponse`: all four keys are always there."""
        return {
            "error": {"message": self.message, "type": self.kind, "param": self.parameter, "code": self.code},
        }

    def response(self) -> Response:
        return JSONResponse(self.body(), status_code=self.status, headers=dict(self.headers))


_PERMANENT = {"x-should-retry": "false"}
_INVALID = "invalid_request_error"

# The first class that matches decides: status, OpenAI's type, and the code where the error carries none.
_KINDS: tuple[tuple[type[FreeholdError], int, str, str | None], ...] = (
    (ContextExceeded, 400, _INVALID, "context_length_exceeded"),
    (RequestTooLarge, 413, _INVALID, "request_too_large"),
    (RequestTimeout, 408, _INVALID, "request_timeout"),
    (UnsupportedEncoding, 415, _INVALID, "unsupported_encoding"),
    (InvalidRequest, 400, _INVALID, None),
    (TemplateError, 400, _INVALID, "template_error"),
    (ModelNotFound, 404, _INVALID, "model_not_found"),
    (Refused, 403, "permission_error", None),
)


def describe(error: Exception) -> Failure:
    """Translates any exception into what the client may know of it."""
    if isinstance(error, HTTPException):
        return _of_routing(error)
    if isinstance(error, Overloaded):
        return Failure(429, _text(error), "rate_limit_error", code="overloaded", headers=_retry(error.retry_after))
    if isinstance(error, (EngineStopped, NotReady)):
        reason = error.code if isinstance(error, NotReady) else "shutting_down"
        return Failure(503, _text(error), "server_error", code=reason, headers=_retry(NOT_READY_RETRY_SECONDS))
    for kind, status, type_name, code in _KINDS:
        if isinstance(error, kind):
            parameter = "model" if isinstance(error, ModelNotFound) else getattr(error, "parameter", None)
            return Failure(
                status, _text(error), type_name, parameter, getattr(error, "code", None) or code, dict(_PERMANENT)
            )
    return internal()


def internal() -> Failure:
    """What the client hears of a fault that is ours: nothing of its text, which may hold paths or prompts."""
    message = "The server met an unexpected error; its log says more."
    return Failure(500, message, "server_error", code="internal_error", headers=dict(_PERMANENT))


async def respond(_: Request, error: Exception) -> Response:
    """Starlette's exception handler for all errors that are raised on purpose."""
    failure = describe(error)
    if failure.status == 500:
        LOGGER.error("a request failed", exc_info=error)
    return failure.response()


def _of_routing(error: HTTPException) -> Failure:
    headers = {**_PERMANENT, **(error.headers or {})}
    if error.status_code == 404:
        message = "There is no such endpoint. Hint: try /v1/models, /v1/chat/completions or /v1/completions"
        return Failure(404, message, _INVALID, code="unknown_url", headers=headers)
    if error.status_code == 405:
        message = f"This endpoint takes {headers.get('Allow', 'another method')}."
        return Failure(405, message, _INVALID, code="method_not_allowed", headers=headers)
    return Failure(error.status_code, error.detail, _INVALID, headers=headers)


def _retry(seconds: float) -> dict[str, str]:
    """Headers that OpenAI's clients obey; Retry-After is in whole seconds, so it is rounded up."""
    return {
        "retry-after": str(max(1, math.ceil(seconds))),
        "retry-after-ms": str(max(1, math.ceil(seconds * 1000))),
        "x-should-retry": "true",
    }


# Not our own endpoints, which hints name.
_ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])(?:/(?!v1/)|[A-Za-z]:\\)[^\s'\"`,;:)]+[/\\]")


def _text(error: FreeholdError) -> str:
    """Message and hint on one line; the folders of any path are cut off, as a message may come from deep below."""
    text = error.message if error.hint is None else f"{error.message.rstrip('.')}. Hint: {error.hint}"
    return _ABSOLUTE_PATH.sub("", text)
