"""A model that answers from a script, so that the command line is tested without computing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType, SimpleNamespace
from typing import Any

from freehold.engine.types import FinishReason, GenerationRequest, Output, SamplingOptions, Usage
from freehold.errors import ContextExceeded
from freehold.text.dialects import DIALECTS, Dialect

CONTEXT = 200


class FakeTokenizer:
    """One token for each character."""

    special_tokens: Mapping[str, int] = MappingProxyType({})

    def encode(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        return [ord(character) for character in text]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        return "".join(map(chr, ids))


class FakeTemplate:
    """role=content, joined by bars."""

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        return "|".join(f"{message['role']}={message['content']}" for message in messages)


class FakeStream:
    """Plays a script of outputs; a KeyboardInterrupt in it is raised instead."""

    def __init__(self, script: Sequence[Output | type[KeyboardInterrupt]]) -> None:
        self._script = iter(script)
        self.closed = False

    def __iter__(self) -> Iterator[Output]:
        for item in self._script:
            if not isinstance(item, Output):
                raise item
            yield item

    def __enter__(self) -> FakeStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


@dataclass
class FakeModel:
    """What the command line uses of a model.

    Attributes:
        answer: makes the pieces of an answer out of a prompt; ends with KeyboardInterrupt to be stopped there.
        requests: what was asked for, in order.
        loads: the keyword arguments that it was loaded with.
    """

    answer: Callable[[str], Sequence[str | type[KeyboardInterrupt]]] = lambda prompt: ["Hel", "lo."]
    template: FakeTemplate | None = field(default_factory=FakeTemplate)
    finish_reason: FinishReason = FinishReason.STOP
    error: str | None = None
    name: str = "fake"
    requests: list[GenerationRequest] = field(default_factory=list)
    loads: list[dict[str, Any]] = field(default_factory=list)
    dialect: Dialect = DIALECTS["plain"]
    recommended: SamplingOptions = field(default_factory=lambda: SamplingOptions(temperature=0.7))

    @property
    def config(self) -> Any:
        return SimpleNamespace(vocabulary=0x110000, architecture="FakeForCausalLM")

    @property
    def text(self) -> Any:
        return SimpleNamespace(template=self.template)

    @property
    def tokenizer(self) -> FakeTokenizer:
        return FakeTokenizer()

    @property
    def engine(self) -> Any:
        return SimpleNamespace(context_length=CONTEXT, stream=self.stream)

    def stream(self, request: GenerationRequest) -> FakeStream:
        if len(request.prompt) >= CONTEXT:
            raise ContextExceeded(f"the prompt has {len(request.prompt)} tokens", hint="shorten it")
        self.requests.append(request)
        pieces = self.answer(self.prompts[-1])
        usage = Usage(len(request.prompt), 0, len(pieces))
        script: list[Output | type[KeyboardInterrupt]] = [
            Output(piece) if isinstance(piece, str) else piece for piece in pieces
        ]
        return FakeStream([*script, Output("", (), self.finish_reason, usage, self.error)])

    @property
    def prompts(self) -> list[str]:
        """The texts that the requests' prompts came from."""
        return ["".join(map(chr, request.prompt)) for request in self.requests]

    @contextmanager
    def loaded(self, name: str, **options: Any) -> Iterator[FakeModel]:
        """Stands in for `freehold.cli.loading.loaded`."""
        self.loads.append({"name": name, **options})
        yield self
