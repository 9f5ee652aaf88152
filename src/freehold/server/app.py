"""The application: routes, guards and errors put together."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from freehold.errors import FreeholdError
from freehold.server import health, metrics
from freehold.server.access import CLIENT_CLOSED, AccessLog
from freehold.server.errors import respond
from freehold.server.guards import HostGuard, OriginGuard
from freehold.server.lifecycle import Phase
from freehold.server.openai.routes import ROUTES
from freehold.server.served import Catalogue, Model
from freehold.server.settings import ServerSettings
from freehold.server.state import Server


def create_app(models: Mapping[str, Model], settings: ServerSettings | None = None) -> Starlette:
    """An application that is ready to serve loaded models.

    Args:
        models: by the names that requests use.
        settings: None takes the defaults.

    Raises:
        InvalidRequest: an alias leads nowhere.
        TokenizerError: a model came without tokenizer files.
    """
    settings = settings or ServerSettings()
    server = Server(settings, Catalogue(settings.aliases))
    server.catalogue.fill(models)
    begin(server)
    return assemble(server)


def begin(server: Server) -> None:
    """Serve what is in the catalogue from now on."""
    for served in server.catalogue.models():
        server.metrics.watch(served.name, served.engine.stats)
    server.lifecycle.phase = Phase.READY


def assemble(server: Server) -> Starlette:
    """The application around a server that may still be loading."""
    settings = server.settings
    app = Starlette(
        routes=[
            *ROUTES,
            Route("/healthz", health.alive, methods=["GET"]),
            Route("/readyz", health.ready, methods=["GET"]),
            Route("/metrics", metrics.endpoint, methods=["GET"]),
        ],
        middleware=[
            Middleware(AccessLog, server.metrics, server.lifecycle),
            Middleware(HostGuard, settings),
            Middleware(OriginGuard, settings),
            *_cross_origin(settings),
        ],
        exception_handlers={FreeholdError: respond, HTTPException: respond, ClientDisconnect: _nobody_left},
    )
    # "/v1/models/" is a 404 like any other path that is not there; a redirect would turn a POST into a GET.
    app.router.redirect_slashes = False
    app.state.server = server
    return app


def _cross_origin(settings: ServerSettings) -> list[Middleware]:
    """Answers to browsers that ask whether a page may call us; the guards have refused the others already."""
    if not settings.allowed_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            allow_private_network=True,
            expose_headers=("x-request-id",),
        )
    ]


async def _nobody_left(_: Request, __: Exception) -> Response:
    """The client closed its connection while it sent the body."""
    return Response(status_code=CLIENT_CLOSED)
