"""The routes of /v1/models."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from freehold.server.served import Served
from freehold.server.state import server_of


async def list_all(request: Request) -> Response:
    """GET /v1/models: every model, and every alias as a model of its own."""
    catalogue = server_of(request).catalogue
    data = [_json(name, catalogue.find(name)) for name in catalogue.names()]
    return JSONResponse({"object": "list", "data": data})


async def retrieve(request: Request) -> Response:
    """GET /v1/models/{id}, where an id may hold slashes.

    Raises:
        ModelNotFound: there is no such model.
    """
    name = request.path_params["name"]
    return JSONResponse(_json(name, server_of(request).catalogue.find(name)))


def _json(name: str, served: Served) -> dict[str, object]:
    """OpenAI's Model, and beyond it the context; `root` is the model behind an alias."""
    return {
        "id": name,
        "object": "model",
        "created": served.created,
        "owned_by": "freehold",
        "root": served.name,
        "max_model_len": served.engine.context_length,
    }
