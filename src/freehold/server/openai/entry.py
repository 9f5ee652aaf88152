"""The first steps of every endpoint that generates: is the server ready, the body, the model."""

from __future__ import annotations

from starlette.requests import Request

from freehold.server.access import record_of
from freehold.server.body import read_object
from freehold.server.openai.sampling import GenerationFields
from freehold.server.served import Served
from freehold.server.state import server_of


async def read(request: Request) -> dict[str, object]:
    """The request's body.

    Raises:
        NotReady: the server is loading or shutting down.
        InvalidRequest: see `read_object`.
    """
    server = server_of(request)
    server.lifecycle.check()
    settings = server.settings
    return await read_object(request, limit=settings.body_limit, timeout=settings.body_timeout)


def serve_from(request: Request, wish: GenerationFields) -> Served:
    """The model that a request asks for; noted for the access log.

    Raises:
        ModelNotFound: there is no such model.
        InvalidRequest: the request names tokens that the model does not have.
    """
    served = server_of(request).catalogue.find(wish.model)
    record_of(request.scope).model = served.name
    wish.check_token_ids(served.model.config.vocabulary)
    return served
