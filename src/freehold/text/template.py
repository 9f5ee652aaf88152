"""Chat templates: a conversation as the text that a model was trained to continue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from freehold.errors import FreeholdError, TemplateError

_RESERVED = frozenset({"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"})


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A model's chat template, a Jinja template that came with it and is not trusted.

    Attributes:
        source: the template's text.
        bos_token: the text of the model's BOS token.
        eos_token: the text of the model's EOS token.
        tool_use: the template for conversations with tools, where the model has a separate one.
        clock: the present time, for templates that tell the model the date.
    """

    source: str
    bos_token: str = ""
    eos_token: str = ""
    tool_use: str | None = None
    clock: Callable[[], datetime] = datetime.now

    def render(
        self,
        messages: Sequence[Mapping[str, object]],
        *,
        tools: Sequence[Mapping[str, object]] | None = None,
        add_generation_prompt: bool = True,
        variables: Mapping[str, object] | None = None,
    ) -> str:
        """The text of a conversation, special tokens included; encode it with `add_special=False`.

        At most 1 MiB of UTF-8 and 0.2 s of processor time; see `freehold.text.sandbox` for what else is bounded.

        Args:
            messages: the conversation; each message an object of JSON-like values, with at least a `role`.
            tools: descriptions of functions that the model may call, in OpenAI's form.
            add_generation_prompt: end with the beginning of the assistant's answer.
            variables: further variables that the template knows (`enable_thinking`, `documents`, ...).

        Raises:
            TemplateError: the template rejects the messages (with the template's own words), fails, is damaged or
                hostile, or a variable has a name that is taken.
        """
        taken = _RESERVED.intersection(variables or ())
        if taken:
            raise TemplateError(
                f"the template variable {min(taken)!r} cannot be set", hint="use the argument of that name"
            )
        from freehold.text.sandbox.rendering import render  # Jinja is imported with the first use

        values: dict[str, Any] = {"tools": tools, "documents": None, **(variables or {}), "messages": messages}
        values |= {"bos_token": self.bos_token, "eos_token": self.eos_token}
        source = self.tool_use if tools and self.tool_use is not None else self.source
        try:
            return render(source, values, clock=self.clock, add_generation_prompt=add_generation_prompt)
        except FreeholdError:
            raise
        except Exception as error:  # whatever a template can do wrong
            raise TemplateError(f"the chat template fails: {error}") from error
