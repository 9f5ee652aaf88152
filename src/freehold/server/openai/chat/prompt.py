"""From a chat request to the model's prompt. What the model's template or dialect cannot do is refused here by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from freehold.errors import InvalidRequest, TemplateError
from freehold.server.openai.chat.messages import Message
from freehold.server.openai.chat.request import ChatRequest
from freehold.server.openai.chat.tools import must_call
from freehold.server.served import Served, Template
from freehold.text import Prompt, conversation_prompt
from freehold.text.abilities import Abilities, CallForm, abilities_of
from freehold.text.dialects import Dialect


def encode(served: Served, wish: ChatRequest) -> Prompt:
    """The conversation as the model's chat template puts it, ready for the assistant's answer.

    Raises:
        TemplateError: the template rejects the messages.
        InvalidRequest: the model has no template, or the template has no place for something that was asked.
    """
    try:
        template = served.model.template
    except TemplateError:
        raise InvalidRequest(
            f"The model '{served.name}' has no chat template.",
            parameter="model",
            code="no_chat_template",
            hint="use /v1/completions with a plain prompt",
        ) from None
    dialect, tools = served.model.dialect, wish.offered_tools
    abilities = abilities_of(template.render, dialect.efforts) if _needs_abilities(wish) else Abilities()
    _check_tools(wish, dialect, abilities)
    _check_calls(wish.messages, dialect, abilities)
    _check_names(template, wish.messages, abilities.calls)
    variables = _variables(wish.reasoning_effort, abilities)
    prompt = conversation_prompt(
        served.tokenizer,
        dialect,
        partial(template.render, variables=variables) if variables else template.render,
        [message.json(form=abilities.calls, reasoning_field=dialect.reasoning_field) for message in wish.messages],
        tools=tools or None,
        must=must_call(wish.tool_choice, wish.tools),
    )
    if prompt.thinking and wish.reasoning_effort == "none" and not variables:
        raise _no_effort("none", abilities)
    return prompt


def _needs_abilities(wish: ChatRequest) -> bool:
    """Finding them out takes a few renderings, once per model; most conversations need none of them."""
    calls = any(message.tool_calls or message.role == "tool" for message in wish.messages)
    return bool(wish.tools) or wish.reasoning_effort is not None or calls


def _check_tools(wish: ChatRequest, dialect: Dialect, abilities: Abilities) -> None:
    if wish.offered_tools and not (dialect.calls and abilities.tools):
        raise _no_place("tools", "tools")


def _check_calls(messages: Sequence[Message], dialect: Dialect, abilities: Abilities) -> None:
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if message.tool_calls and abilities.calls is None:
            raise _no_place(f"{where}.tool_calls", "tool calls")
        if len(message.tool_calls) > 1 and not abilities.several:
            raise _no_place(f"{where}.tool_calls", "more than one tool call in a message")
        if message.role == "tool" and not abilities.results:
            raise _no_place(f"{where}.role", "results of tools")
        if message.reasoning is not None and not dialect.reasons:
            raise _no_place(f"{where}.reasoning_content", "reasoning")


def _check_names(template: Template, messages: Sequence[Message], form: CallForm | None) -> None:
    """What results are named comes from their calls, not from the request."""

    def rendered(*, with_names: bool) -> str:
        return template.render(
            [message.json(with_name=with_names or message.role == "tool", form=form) for message in messages]
        )

    given = [message.name is not None and message.role != "tool" for message in messages]
    if any(given) and rendered(with_names=True) == rendered(with_names=False):
        raise _no_place(f"messages[{given.index(True)}].name", "names")


def _variables(effort: str | None, abilities: Abilities) -> dict[str, object]:
    if effort is None or (effort == "none" and not abilities.efforts):
        return {}
    if effort not in abilities.efforts:
        raise _no_effort(effort, abilities)
    return dict(abilities.efforts[effort])


def _no_effort(effort: str, abilities: Abilities) -> InvalidRequest:
    known = ", ".join(f'"{name}"' for name in abilities.efforts)
    accepted = f"Accepted values: {known}." if known else "Its reasoning cannot be adjusted."
    return InvalidRequest(
        f"Unsupported value for 'reasoning_effort': this model does not know \"{effort}\". {accepted}",
        parameter="reasoning_effort",
        code="unsupported_parameter",
    )


def _no_place(where: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"Unsupported field '{where}': this model's chat template has no place for {what}.",
        parameter=where,
        code="unsupported_parameter",
    )
