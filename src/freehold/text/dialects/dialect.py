"""What a dialect is: how a family of models writes reasoning and calls."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from freehold.text.detokeniser import CONTROL_MARK
from freehold.text.dialects.reading import Parse, Parser, Reader, Setting, Steps
from freehold.text.dialects.thinking import Markers


def _long_id() -> str:
    return f"call_{secrets.token_hex(12)}"


def short_id() -> str:
    """Nine letters and digits, which Mistral's templates insist on."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(9))


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a family of models writes.

    Attributes:
        name: what it is called here.
        parse: reads an answer.
        controls: tokens that mean something in it. Where the vocabulary has them as control tokens, the detokeniser
            has to show them.
        thinking: the markers of its reasoning, where the prompt may open them.
        reasons: whether it tells reasoning apart from the answer.
        reasoning_field: what its templates call the reasoning of an earlier answer.
        forced: the text that begins a call of a function, or of any for None; None where a call cannot be begun for the
            model.
        efforts: how hard its models can be told to think, in OpenAI's words, where their templates take that by name.
        new_id: makes an id for a call.
    """

    name: str
    parse: Parse
    controls: frozenset[str] = field(default_factory=frozenset)
    thinking: Markers | None = None
    reasons: bool = False
    reasoning_field: str = "reasoning_content"
    forced: Callable[[str | None], str] | None = None
    efforts: tuple[str, ...] = ()
    new_id: Callable[[], str] = _long_id

    @property
    def calls(self) -> bool:
        """Whether its models can call functions."""
        return self.forced is not None

    def shown(self, special_tokens: Mapping[str, int]) -> dict[str, int]:
        """Those of a vocabulary's control tokens that a parser has to see."""
        return {name: special_tokens[name] for name in self.controls if name in special_tokens}

    def is_thinking(self, prompt: str) -> bool:
        """Whether a prompt (its end is enough) leaves the model inside of its reasoning."""
        return self.thinking is not None and prompt.rstrip().endswith(self.thinking.opening)

    def begin_call(self, name: str | None, *, thinking: bool) -> str:
        """The text to put at the end of a prompt so that the model's answer is a call.

        Args:
            name: the function to be called; None leaves it to the model.
            thinking: the prompt leaves the model inside of its reasoning, which is then ended without any.

        Raises:
            ValueError: the dialect has no calls.
        """
        if self.forced is None:
            raise ValueError(f"the dialect {self.name} has no calls")
        ended = f"\n{self.thinking.closing}\n\n" if thinking and self.thinking is not None else ""
        return ended + self.forced(name)

    def parser(
        self,
        *,
        shown: Collection[str] = (),
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool = False,
        begun: str = "",
        new_id: Callable[[], str] | None = None,
    ) -> Parser:
        """A parser for one answer.

        Args:
            shown: the names of the control tokens that the detokeniser shows.
            tools: the functions that the model was offered, in OpenAI's form; without any, nothing is taken for a call.
            thinking: the prompt leaves the model inside of its reasoning.
            begun: what of the answer was put into the prompt, as `begin_call` gave it.
            new_id: makes ids; None makes random ones in the form that the dialect's templates want.
        """
        offered = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools or ()}
        parser = Parser(
            self.parse,
            Setting(
                new_id=new_id or self.new_id,
                tools=offered or None,
                shown=frozenset(shown),
                thinking=thinking,
            ),
        )
        for name in shown:
            begun = begun.replace(name, CONTROL_MARK + name)
        parser.push(begun)
        return parser


def plain(read: Reader) -> Steps[None]:
    """Everything is content."""
    yield from read.until((), read.out.content)
