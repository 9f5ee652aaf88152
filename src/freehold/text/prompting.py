"""A conversation made ready for a model, together with what it takes to read the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from freehold.text.conversation import Render, encode_conversation
from freehold.text.dialects import Dialect, Parser
from freehold.text.tokenizer import Tokenizer

_TAIL = 32
"""Tokens from the end of a prompt that are enough to see whether it opens the model's reasoning."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is asked.

    Attributes:
        ids: token ids.
        shown: the control tokens, by name, that have to be seen in the answer's text.
        dialect: how the answer is written.
        tools: the functions that the model may call.
        thinking: the model is asked inside of its reasoning.
        begun: what of the answer is in the prompt already.
    """

    ids: list[int]
    shown: Mapping[str, int]
    dialect: Dialect
    tools: Sequence[Mapping[str, Any]] = ()
    thinking: bool = False
    begun: str = ""

    @property
    def shown_ids(self) -> tuple[int, ...]:
        """What a request to the engine has to ask for."""
        return tuple(self.shown.values())

    def parser(self) -> Parser:
        """A parser for one answer."""
        return self.dialect.parser(shown=self.shown, tools=self.tools, thinking=self.thinking, begun=self.begun)


@dataclass(frozen=True, slots=True)
class MustCall:
    """The answer has to be a call.

    Attributes:
        name: of the function; None leaves it to the model.
    """

    name: str | None = None


def conversation_prompt(
    tokenizer: Tokenizer,
    dialect: Dialect,
    render: Render,
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    must: MustCall | None = None,
) -> Prompt:
    """The prompt for a conversation's next answer.

    Args:
        render: messages and tools to text; see `encode_conversation`.
        tools: the functions that the model may call, in OpenAI's form.
        must: begin the answer with a call, for a dialect that has calls.

    Raises:
        TemplateError: the template rejects the messages.
        InvalidRequest, TokenizerError: a text cannot be encoded.
    """
    ids = encode_conversation(tokenizer, render, messages, tools=tools)
    thinking = dialect.thinking is not None and dialect.is_thinking(tokenizer.decode(ids[-_TAIL:], skip_special=False))
    begun = ""
    if must is not None:
        begun = dialect.begin_call(must.name, thinking=thinking)
        ids = encode_conversation(tokenizer, render, messages, tools=tools, opening=begun)
    return Prompt(ids, dialect.shown(tokenizer.special_tokens), dialect, tools or (), thinking, begun)
