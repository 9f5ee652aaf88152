"""The route of /v1/chat/completions."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from freehold.engine.types import GenerationRequest
from freehold.server.generation import Generation
from freehold.server.openai.answer import StreamedAnswer, check_context, whole_answer
from freehold.server.openai.chat.deltas import Answer
from freehold.server.openai.chat.prompt import encode
from freehold.server.openai.chat.request import ChatRequest, parse
from freehold.server.openai.chat.response import ChatWriter
from freehold.server.openai.entry import read, serve_from
from freehold.server.openai.header import Header
from freehold.server.served import Served
from freehold.server.state import server_of
from freehold.text import Prompt


async def create(request: Request) -> Response:
    """POST /v1/chat/completions."""
    wish = await read(request, parse)
    served = serve_from(request, wish)
    generation = Generation(wish.n)
    with server_of(request).permit(served, wish.n) as permit:
        prompt = await server_of(request).workers.run(encode, served, wish)
        check_context([prompt.ids], wish.token_limit, served.engine.context_length, parameter="messages")
        generation.submit(served.engine, _sequences(served, wish, prompt), permit)
    answers = [Answer(prompt.parser(), one_call=wish.one_call) for _ in range(wish.n)]
    writer = ChatWriter(_header(served, wish), served.tokenizer, answers, logprobs=wish.logprobs, enough=generation.end)
    if wish.stream:
        return StreamedAnswer(generation, writer, usage=wish.wants_usage)
    return await whole_answer(request, generation, writer)


def _sequences(served: Served, wish: ChatRequest, prompt: Prompt) -> list[GenerationRequest]:
    return [
        GenerationRequest(
            prompt=tuple(prompt.ids),
            sampling=wish.sampling(choice, wish.engine_logprobs, served.model.recommended),
            stop=wish.stopping(wish.token_limit),
            shown=prompt.shown_ids,
        )
        for choice in range(wish.n)
    ]


def _header(served: Served, wish: ChatRequest) -> Header:
    extra: dict[str, object] = {}
    if wish.service_tier is not None:
        extra["service_tier"] = "default"
    if wish.metadata is not None:
        extra["metadata"] = wish.metadata
    return Header(prefix="chatcmpl", model=served.name, fingerprint=served.fingerprint, extra=extra)
