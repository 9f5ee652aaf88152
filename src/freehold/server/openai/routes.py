"""Every route of the dialect."""

from __future__ import annotations

from starlette.routing import Route

from freehold.server.openai.chat import route as chat
from freehold.server.openai.completions import route as completions
from freehold.server.openai.models import route as models

ROUTES = (
    Route("/v1/models", models.list_all, methods=["GET"]),
    Route("/v1/models/{name:path}", models.retrieve, methods=["GET"]),
    Route("/v1/chat/completions", chat.create, methods=["POST"]),
    Route("/v1/completions", completions.create, methods=["POST"]),
)
