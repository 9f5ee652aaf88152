"""GET /healthz: is the process alive. GET /readyz: may requests be sent to it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from freehold.server.lifecycle import Phase
from freehold.server.state import server_of


async def alive(_: Request) -> Response:
    """200 as long as the event loop turns."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """200 when models are loaded; 503 with the phase while loading and while draining."""
    phase = server_of(request).lifecycle.phase
    return JSONResponse({"status": phase.value}, status_code=200 if phase is Phase.READY else 503)
