"""What a chat template has a place for, found out by rendering small conversations with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any

from freehold.errors import TemplateError

_CALL_ID = "aBcDeF123"  # nine letters and digits, as Mistral's templates insist
_TOOL, _OTHER, _KEY, _VALUE, _RESULT = "probe_tool", "other_tool", "probe_key", "probe value", "probe result"
_ASKED: list[dict[str, Any]] = [{"role": "user", "content": "?"}]
_SWITCHES = ("enable_thinking", "thinking")

Render = Callable[..., str]
"""Messages, and as keywords `tools` and `variables`, to text; such as `ChatTemplate.render`."""


@dataclass(frozen=True, slots=True)
class CallForm:
    """How a template takes the calls of an earlier answer.

    Attributes:
        arguments_as_text: as JSON text rather than as an object.
        no_content: what stands for the content of an answer that only calls.
    """

    arguments_as_text: bool
    no_content: str | None


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a template has a place for.

    Attributes:
        tools: descriptions of functions.
        calls: how it takes calls; None if it does not.
        several: whether one answer may hold several calls.
        results: results of calls.
        efforts: how hard the model may think, in OpenAI's words, and the variables that say so.
    """

    tools: bool = False
    calls: CallForm | None = None
    several: bool = False
    results: bool = False
    efforts: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@lru_cache(maxsize=32)
def abilities_of(render: Render, efforts: tuple[str, ...]) -> Abilities:
    """The abilities of a template.

    Args:
        efforts: those of OpenAI's efforts that the model was trained on, where its template takes one by name.
    """
    tools = [_tool(_TOOL), _tool(_OTHER)]
    forms = [CallForm(*form) for form in product((False, True), ("", None))]
    form = next((form for form in forms if _takes(render, form)), None)
    several = form is not None and _OTHER in _rendered(render, _called(form, _TOOL, _OTHER))
    results = form is not None and _RESULT in _rendered(render, _called(form, _TOOL))
    return Abilities(_TOOL in _rendered(render, _ASKED, tools=tools), form, several, results, _efforts(render, efforts))


def _tool(name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {_KEY: {"type": "string", "description": ""}}, "required": [_KEY]}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": schema}}


def _takes(render: Render, form: CallForm) -> bool:
    """Whether a call comes out whole, its arguments neither as Python shows them nor as JSON within JSON."""
    text = _rendered(render, _called(form, _TOOL))
    wrong = (f"'{_KEY}'", f'\\"{_KEY}\\"')
    return all(part in text for part in (_TOOL, _KEY, _VALUE)) and not any(part in text for part in wrong)


def _called(form: CallForm, *names: str) -> list[dict[str, Any]]:
    arguments: object = f'{{"{_KEY}": "{_VALUE}"}}' if form.arguments_as_text else {_KEY: _VALUE}
    ids = [_CALL_ID[:-1] + str(number) for number in range(len(names))]
    calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for name, call_id in zip(names, ids, strict=True)
    ]
    answer = {"role": "assistant", "content": form.no_content, "tool_calls": calls}
    results = [
        {"role": "tool", "name": name, "tool_call_id": call_id, "content": _RESULT}
        for name, call_id in zip(names, ids, strict=True)
    ]
    return [*_ASKED, answer, *results]


def _efforts(render: Render, named: tuple[str, ...]) -> dict[str, dict[str, object]]:
    """Efforts by name, or else reasoning that is on or off."""
    by_name = {effort: _rendered(render, _ASKED, variables={"reasoning_effort": effort}) for effort in named}
    if len({*by_name.values()} - {""}) > 1:
        return {effort: {"reasoning_effort": effort} for effort, text in by_name.items() if text}
    for switch in _SWITCHES:
        on, off = (_rendered(render, _ASKED, variables={switch: value}) for value in (True, False))
        if on != off:
            return {"none": {switch: False}, "medium": {switch: True}}
    return {}


def _rendered(render: Render, messages: list[dict[str, Any]], **options: Any) -> str:
    """The text of a conversation, or none where the template rejects it."""
    try:
        return render(messages, **options)
    except TemplateError:
        return ""
