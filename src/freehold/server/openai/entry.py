"""The first steps of every endpoint that generates: is the server ready, the body, the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from starlette.requests import Request

from freehold.server.access import record_of
from freehold.server.body import parse_object, read_body
from freehold.server.openai.sampling import GenerationFields
from freehold.server.served import Served
from freehold.server.state import server_of

LARGE_BODY = 64 * 1024
"""Bytes from which a body is parsed beside the event loop: a switch of threads is then the smaller delay."""

Wish = TypeVar("Wish", bound=GenerationFields)


async def read(request: Request, parse: Callable[[Mapping[str, object]], Wish]) -> Wish:
    """The request model that an endpoint makes of the body.

    Raises:
        NotReady: the server is loading or shutting down.
        InvalidRequest: the body cannot be read, or a field of it cannot be honoured.
    """
    server = server_of(request)
    server.lifecycle.check()
    data = await read_body(request, limit=server.settings.body_limit, timeout=server.settings.body_timeout)
    if len(data) < LARGE_BODY:
        return parse(parse_object(data))
    return await server.workers.run(lambda: parse(parse_object(data)))


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
