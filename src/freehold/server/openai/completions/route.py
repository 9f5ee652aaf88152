"""The route of /v1/completions."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from freehold.engine.types import GenerationRequest
from freehold.server.generation import Generation
from freehold.server.openai.answer import StreamedAnswer, check_context, whole_answer
from freehold.server.openai.completions.request import DEFAULT_MAX_TOKENS, CompletionRequest, Prompt, parse
from freehold.server.openai.completions.response import CompletionWriter
from freehold.server.openai.entry import read, serve_from
from freehold.server.openai.header import Header
from freehold.server.openai.sampling import check_token_ids
from freehold.server.served import Served
from freehold.server.state import server_of
from freehold.text.tokenizer import Tokenizer


async def create(request: Request) -> Response:
    """POST /v1/completions."""
    wish = await read(request, parse)
    served = serve_from(request, wish)
    for prompt in wish.prompt:
        if not isinstance(prompt, str):
            check_token_ids(prompt, served.model.config.vocabulary, parameter="prompt")
    generation = Generation(wish.n)
    with server_of(request).permit(served, len(wish.prompt) * wish.n) as permit:
        prompts = await server_of(request).workers.run(_encode, served.tokenizer, wish.prompt)
        check_context(prompts, wish.max_tokens, served.engine.context_length, parameter="prompt")
        echoes = await server_of(request).workers.run(_echoes, served.tokenizer, wish)
        writer = CompletionWriter(_header(served), served.tokenizer, echoes=echoes, logprobs=wish.logprobs is not None)
        generation.submit(served.engine, _sequences(served, wish, prompts), permit)
    if wish.stream:
        return StreamedAnswer(generation, writer, usage=wish.wants_usage)
    return await whole_answer(request, generation, writer)


def _header(served: Served) -> Header:
    return Header(prefix="cmpl", model=served.name, fingerprint=served.fingerprint)


def _encode(tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
    return [tuple(tokenizer.encode(prompt)) if isinstance(prompt, str) else prompt for prompt in prompts]


def _echoes(tokenizer: Tokenizer, wish: CompletionRequest) -> list[str]:
    """What comes before the generated text, for each choice."""
    if not wish.echo:
        return [""] * (len(wish.prompt) * wish.n)
    texts = [prompt if isinstance(prompt, str) else tokenizer.decode(prompt) for prompt in wish.prompt]
    return [text for text in texts for _ in range(wish.n)]


def _sequences(served: Served, wish: CompletionRequest, prompts: Sequence[tuple[int, ...]]) -> list[GenerationRequest]:
    """Choice i * n + j is answer j to prompt i."""
    context = served.engine.context_length
    return [
        GenerationRequest(
            prompt=prompt,
            sampling=wish.sampling(choice, wish.logprobs, served.model.recommended),
            stop=wish.stopping(wish.max_tokens or min(DEFAULT_MAX_TOKENS, context - len(prompt))),
        )
        for prompt in prompts
        for choice in range(wish.n)
    ]
