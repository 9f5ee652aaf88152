"""One request's sequences in the engine, seen from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from freehold.engine.admission import Permit
from freehold.engine.types import FinishReason, GenerationRequest, Output, TokenOutput, Usage
from freehold.errors import EngineStopped, FreeholdError
from freehold.server.served import Engine, Ticket


class GenerationFailed(FreeholdError):
    """The engine could not compute a sequence. Why is for the log, not for the client."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What became certain of one choice.

    Attributes:
        choice: its index in the response.
        finish_reason: "stop" or "length" on the last piece of the choice, and only there.
    """

    choice: int
    text: str
    tokens: tuple[TokenOutput, ...] = ()
    finish_reason: str | None = None


class Generation:
    """Several sequences whose outputs are merged in the order in which they arrive.

    Made, read and closed on the event loop. Closing cancels what has not finished, and has to happen however the
    request ends: use it as a context manager.

    Args:
        choices: how many sequences answer each prompt; a prompt counts once in the usage, as OpenAI counts.

    Attributes:
        usage: tokens of all sequences; complete once the iteration has ended.
    """

    def __init__(self, choices: int = 1) -> None:
        self.usage = Usage(0, 0, 0)
        self._choices = choices
        self._loop = asyncio.get_running_loop()
        self._outputs: asyncio.Queue[tuple[int, Output]] = asyncio.Queue()
        self._tickets: dict[int, Ticket] = {}
        self._enough: set[int] = set()

    def submit(self, engine: Engine, requests: Iterable[GenerationRequest], permit: Permit) -> None:
        """Hand the sequences of choice 0, 1, 2... to the engine.

        Raises:
            FreeholdError: as `Engine.submit`; then none of them goes on.
        """
        try:
            for choice, request in enumerate(requests):
                self._tickets[choice] = engine.submit(request, self._sink(choice), permit)
        except BaseException:
            self.close()
            raise

    async def pieces(self) -> AsyncIterator[Piece]:
        """Everything that becomes certain, until every sequence has ended.

        Raises:
            GenerationFailed: the engine could not go on with one of them.
            EngineStopped: the engine was stopped meanwhile.
        """
        while self._tickets:
            choice, output = await self._outputs.get()
            if output.finish_reason is None:
                yield Piece(choice, output.text, output.tokens)
                continue
            del self._tickets[choice]
            self._count(choice, output.usage)
            if choice in self._enough:
                yield Piece(choice, "", (), FinishReason.STOP.value)
                continue
            _check_end(output)
            yield Piece(choice, output.text, output.tokens, output.finish_reason.value)

    def end(self, choice: int) -> None:
        """Nothing more of this choice is wanted: it ends here, as if it had stopped by itself."""
        if choice in self._tickets:
            self._enough.add(choice)
            self._tickets[choice].cancel()

    def close(self) -> None:
        """Cancel what has not ended; does nothing when all have."""
        for ticket in self._tickets.values():
            ticket.cancel()
        self._tickets.clear()

    def __enter__(self) -> Generation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sink(self, choice: int) -> _Sink:
        return _Sink(self._loop, self._outputs, choice)

    def _count(self, choice: int, usage: Usage | None) -> None:
        if usage is None:
            return
        first = choice % self._choices == 0
        self.usage = Usage(
            self.usage.prompt_tokens + (usage.prompt_tokens if first else 0),
            self.usage.cached_tokens + (usage.cached_tokens if first else 0),
            self.usage.completion_tokens + usage.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class _Sink:
    """Carries outputs from the engine's thread to the event loop."""

    loop: asyncio.AbstractEventLoop
    outputs: asyncio.Queue[tuple[int, Output]]
    choice: int

    def __call__(self, output: Output) -> None:
        self.loop.call_soon_threadsafe(self.outputs.put_nowait, (self.choice, output))


def _check_end(output: Output) -> None:
    if output.finish_reason is FinishReason.FAILED:
        raise GenerationFailed(output.error or "the engine gave no reason")
    if output.finish_reason is FinishReason.CANCELLED:
        raise EngineStopped("The server is shutting down; the answer was cut short.")
