"""From sequences in the engine to an answer made of chunks, whole or streamed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from freehold.errors import ContextExceeded
from freehold.server.access import CLIENT_CLOSED, record_of
from freehold.server.errors import describe
from freehold.server.generation import Generation
from freehold.server.openai.choices import Choice, Writer
from freehold.server.openai.header import usage_json

LOGGER = logging.getLogger("freehold.server")

DONE = b"data: [DONE]\n\n"

Result = TypeVar("Result")


class ClientGone(Exception):
    """The client closed its connection before it had its answer."""


def check_context(prompts: Sequence[Sequence[int]], max_tokens: int | None, context: int, *, parameter: str) -> None:
    """
    Args:
        max_tokens: what was asked for; None for as much as fits, which has to be one token at least.

    Raises:
        ContextExceeded: a prompt and its answer have no room in the context; names both counts.
    """
    longest = max(len(prompt) for prompt in prompts)
    if longest + (max_tokens or 1) <= context:
        return
    asked = "no token of an answer fits" if max_tokens is None else f"{max_tokens} more are asked for"
    raise ContextExceeded(
        f"This model's context is {context} tokens, but the prompt has {longest} tokens and {asked}"
        f" ({longest + (max_tokens or 1)} in all).",
        parameter=parameter,
        code="context_length_exceeded",
        hint="shorten the prompt, or ask for fewer tokens",
    )


async def whole_answer(request: Request, generation: Generation, writer: Writer) -> Response:
    """The answer in one piece. If the client leaves first, the generation is cancelled.

    Raises:
        GenerationFailed, EngineStopped: see `Generation.pieces`.
    """
    with generation:
        try:
            chunks = await until_gone(request.receive, _collected(generation, writer))
        except ClientGone:
            return Response(status_code=CLIENT_CLOSED)
    record_of(request.scope).usage = generation.usage
    body = writer.header.json(writer.whole_kind, writer.whole(chunks))
    return JSONResponse({**body, "usage": usage_json(generation.usage)})


class StreamedAnswer(Response):
    """The answer as server-sent events, one per chunk. If the client leaves, the generation is cancelled.

    Args:
        usage: whether a last chunk tells the usage.
    """

    media_type = "text/event-stream"

    def __init__(self, generation: Generation, writer: Writer, *, usage: bool) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._generation = generation
        self._writer = writer
        self._usage = usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Not left to the iterator: one that was never begun would not get to its own clean-up.
        with self._generation:
            try:
                await until_gone(receive, self._send(send))
            except ClientGone:
                record_of(scope).status = CLIENT_CLOSED
        record_of(scope).usage = self._generation.usage

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for event in self._events():
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in _chunks(self._generation, self._writer):
                yield self._event([chunk], None)
            if self._usage:
                yield self._event([], usage_json(self._generation.usage))
        except Exception as error:
            # The status line is out already; OpenAI's clients raise on an event that holds an error.
            failure = describe(error)
            if failure.status == 500:
                LOGGER.exception("a streamed answer failed")
            yield _data(failure.body())
        yield DONE

    def _event(self, choices: list[Choice], usage: dict[str, object] | None) -> bytes:
        body = self._writer.header.json(self._writer.chunk_kind, choices)
        return _data({**body, "usage": usage} if self._usage else body)


async def until_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of some work, which is cancelled when the client closes its connection.

    Raises:
        ClientGone: it did.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _chunks(generation: Generation, writer: Writer) -> AsyncIterator[Choice]:
    """What streamed and whole answers are both made of."""
    for chunk in writer.opening():
        yield chunk
    async for piece in generation.pieces():
        for chunk in writer.chunks(piece):
            yield chunk


async def _collected(generation: Generation, writer: Writer) -> list[Choice]:
    return [chunk async for chunk in _chunks(generation, writer)]


def _data(body: object) -> bytes:
    # Escaped to ASCII: some clients split lines at U+2028 and U+0085, which JSON may hold unescaped.
    return f"data: {json.dumps(body, separators=(',', ':'))}\n\n".encode()
