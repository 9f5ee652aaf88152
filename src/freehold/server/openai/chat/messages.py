"""Chat messages: roles, content as a string or as parts of text, calls of functions and their results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from freehold.errors import InvalidRequest
from freehold.server.openai import fields
from freehold.server.openai.chat.tools import check_function_name, expect_object, invalid, type_name
from freehold.text.abilities import CallForm
from freehold.text.dialects.calls import parsed

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
"""Roles that are honoured, and what templates call them."""

_KNOWN = {
    "assistant": dict.fromkeys(("role", "content", "name", "tool_calls", "reasoning_content")),
    "tool": dict.fromkeys(("role", "content", "name", "tool_call_id")),
}
_KNOWN_BY_ALL = dict.fromkeys(("role", "content", "name"))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call in an earlier answer; its arguments as the object that they are."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]

    def json(self, *, arguments_as_text: bool) -> dict[str, Any]:
        """What the template gets."""
        arguments = json.dumps(self.arguments, ensure_ascii=False) if arguments_as_text else self.arguments
        return {"id": self.call_id, "type": "function", "function": {"name": self.name, "arguments": arguments}}


@dataclass(frozen=True, slots=True)
class Message:
    """A message as chat templates take it.

    Attributes:
        role: system, user, assistant or tool.
        content: empty for an answer that only calls.
        name: tells apart participants of one role, where the template has a place for it; of a result, the function.
        tool_calls: what an answer calls.
        tool_call_id: the call that a result belongs to.
        reasoning: what the model thought before an answer.
    """

    role: str
    content: str
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = field(default=None, kw_only=True)

    def json(
        self, *, with_name: bool = True, form: CallForm | None = None, reasoning_field: str = "reasoning_content"
    ) -> dict[str, Any]:
        """What the template gets.

        Args:
            form: how it takes calls; needed where there are any.
            reasoning_field: what it calls the reasoning.
        """
        message: dict[str, Any] = {"role": self.role, "content": self.content}
        if with_name and self.name is not None:
            message["name"] = self.name
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        if self.reasoning is not None:
            message[reasoning_field] = self.reasoning
        if self.tool_calls and form is not None:
            message["tool_calls"] = [call.json(arguments_as_text=form.arguments_as_text) for call in self.tool_calls]
            message["content"] = self.content or form.no_content
        return message


def parse_messages(value: object) -> tuple[Message, ...]:
    """
    Raises:
        InvalidRequest: names the message and the field at fault.
    """
    if not isinstance(value, list):
        raise invalid("messages", f"expected an array, but got {type_name(value)}", code="invalid_type")
    if not value:
        raise invalid("messages", "expected at least one message, but the array is empty")
    calls: dict[str, str] = {}
    return tuple(_message(f"messages[{number}]", message, calls) for number, message in enumerate(value))


def _message(where: str, value: object, calls: dict[str, str]) -> Message:
    """
    Args:
        calls: the functions called so far, by the ids of their calls; this message's are added.
    """
    source = expect_object(where, value)
    role = _role(where, source)
    known = _KNOWN.get(role, _KNOWN_BY_ALL)
    neutral = {name: fate for name, fate in fields.MESSAGE.items() if name not in known}
    present = fields.honoured(source, neutral, known=known, prefix=f"{where}.")
    tool_calls = _tool_calls(f"{where}.tool_calls", present.get("tool_calls", []))
    if "content" not in present and not tool_calls:
        raise _missing(f"{where}.content")
    calls |= {call.call_id: call.name for call in tool_calls}
    name = _optional_text(where, present, "name")
    call_id = _result_of(where, present, calls) if role == "tool" else None
    if call_id is not None and name not in (None, calls[call_id]):
        raise invalid(f"{where}.name", f"the call with this 'tool_call_id' is one of '{calls[call_id]}'")
    return Message(
        role,
        _text(f"{where}.content", present.get("content", "")),
        name if call_id is None else calls[call_id],
        tool_calls,
        call_id,
        reasoning=_optional_text(where, present, "reasoning_content"),
    )


def _role(where: str, message: dict[str, object]) -> str:
    role = message.get("role")
    if role is None:
        raise _missing(f"{where}.role")
    if role == "function":
        reason = "results of functions have the role 'tool' and a 'tool_call_id'"
        raise invalid(f"{where}.role", reason, code="unsupported_parameter")
    if not isinstance(role, str) or role not in ROLES:
        raise invalid(f"{where}.role", f"expected one of {', '.join(ROLES)}")
    return ROLES[role]


def _tool_calls(where: str, value: object) -> tuple[ToolCall, ...]:
    if not isinstance(value, list):
        raise invalid(where, f"expected an array, but got {type_name(value)}", code="invalid_type")
    return tuple(_tool_call(f"{where}[{number}]", call) for number, call in enumerate(value))


def _tool_call(where: str, value: object) -> ToolCall:
    source = expect_object(where, value)
    # Clients send back what a stream told them, the index among it.
    known = dict.fromkeys(("id", "type", "function", "index"))
    call = fields.honoured(source, {}, known=known, prefix=f"{where}.")
    if call.get("type", "function") != "function":
        raise invalid(f"{where}.type", "calls of type 'function' are supported", code="unsupported_parameter")
    call_id = call.get("id")
    if not isinstance(call_id, str) or not call_id:
        raise invalid(f"{where}.id", f"expected a string, but got {type_name(call_id)}", code="invalid_type")
    inner = f"{where}.function"
    named = {"name": None, "arguments": None}
    function = fields.honoured(expect_object(inner, call.get("function")), {}, known=named, prefix=f"{inner}.")
    name = check_function_name(f"{inner}.name", function.get("name"))
    return ToolCall(call_id, name, _arguments(f"{inner}.arguments", function.get("arguments")))


def _arguments(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, str):
        raise invalid(where, f"expected a string, but got {type_name(value)}", code="invalid_type")
    arguments = parsed(value or "{}")
    if not isinstance(arguments, dict):
        raise invalid(where, "expected the JSON of an object")
    return arguments


def _result_of(where: str, present: Mapping[str, object], calls: Mapping[str, str]) -> str:
    """The id of the call that a message is the result of."""
    call_id = present.get("tool_call_id")
    if call_id is None:
        raise _missing(f"{where}.tool_call_id")
    if not isinstance(call_id, str) or call_id not in calls:
        raise invalid(f"{where}.tool_call_id", "no earlier message has a call with this id")
    return call_id


def _optional_text(where: str, present: Mapping[str, object], name: str) -> str | None:
    value = present.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"{where}.{name}", f"expected a string, but got {type_name(value)}", code="invalid_type")
    return value


def _text(where: str, content: object) -> str:
    """Parts of text follow each other without anything between, as in templates that take parts themselves."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        message = f"expected a string or an array of parts, but got {type_name(content)}"
        raise invalid(where, message, code="invalid_type")
    if not content:
        raise invalid(where, "expected at least one part, but the array is empty")
    return "".join(_part(f"{where}[{number}]", part) for number, part in enumerate(content))


def _part(where: str, value: object) -> str:
    part = expect_object(where, value)
    kind = part.get("type")
    if kind != "text":
        shown = f"'{kind[:32]}'" if isinstance(kind, str) else type_name(kind)
        message = f"parts of type 'text' are supported, but got {shown}"
        raise invalid(f"{where}.type", message, code="unsupported_parameter")
    fields.honoured(part, {}, known={"type": None, "text": None}, prefix=f"{where}.")
    text = part.get("text")
    if not isinstance(text, str):
        raise invalid(f"{where}.text", f"expected a string, but got {type_name(text)}", code="invalid_type")
    return text


def _missing(where: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required field: '{where}'.", parameter=where, code="missing_required_parameter")
