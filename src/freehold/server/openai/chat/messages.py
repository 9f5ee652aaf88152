"""Chat messages: roles, and content as a string or as parts of text."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.errors import InvalidRequest
from freehold.server.body import TYPE_NAMES
from freehold.server.openai import fields

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""Roles that are honoured, and what templates call them."""

_LATER_ROLES = ("tool", "function")
_KNOWN = dict.fromkeys(("role", "content", "name"))


@dataclass(frozen=True, slots=True)
class Message:
    """A message as chat templates take it.

    Attributes:
        role: system, user or assistant.
        name: tells apart participants of one role, where the template has a place for it.
    """

    role: str
    content: str
    name: str | None = None

    def json(self, *, with_name: bool = True) -> dict[str, str]:
        """What the template gets."""
        named = {"name": self.name} if with_name and self.name is not None else {}
        return {"role": self.role, "content": self.content, **named}


def parse_messages(value: object) -> tuple[Message, ...]:
    """
    Raises:
        InvalidRequest: names the message and the field at fault.
    """
    if not isinstance(value, list):
        raise _invalid("messages", f"expected an array, but got {_type(value)}", code="invalid_type")
    if not value:
        raise _invalid("messages", "expected at least one message, but the array is empty")
    return tuple(_message(f"messages[{number}]", message) for number, message in enumerate(value))


def _message(where: str, value: object) -> Message:
    if not isinstance(value, dict):
        raise _invalid(where, f"expected an object, but got {_type(value)}", code="invalid_type")
    role = _role(where, value)
    present = fields.honoured(value, fields.MESSAGE, known=_KNOWN, prefix=f"{where}.")
    if "content" not in present:
        raise InvalidRequest(
            f"Missing required field: '{where}.content'.",
            parameter=f"{where}.content",
            code="missing_required_parameter",
        )
    name = present.get("name")
    if name is not None and not isinstance(name, str):
        raise _invalid(f"{where}.name", f"expected a string, but got {_type(name)}", code="invalid_type")
    return Message(role, _text(f"{where}.content", present["content"]), name)


def _role(where: str, message: dict[str, object]) -> str:
    role = message.get("role")
    if role is None:
        raise InvalidRequest(
            f"Missing required field: '{where}.role'.", parameter=f"{where}.role", code="missing_required_parameter"
        )
    if role in _LATER_ROLES:
        raise _invalid(f"{where}.role", "tool calls are not supported yet", code="unsupported_parameter")
    if not isinstance(role, str) or role not in ROLES:
        raise _invalid(f"{where}.role", f"expected one of {', '.join(ROLES)}")
    return ROLES[role]


def _text(where: str, content: object) -> str:
    """Parts of text follow each other without anything between, as in templates that take parts themselves."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        message = f"expected a string or an array of parts, but got {_type(content)}"
        raise _invalid(where, message, code="invalid_type")
    if not content:
        raise _invalid(where, "expected at least one part, but the array is empty")
    return "".join(_part(f"{where}[{number}]", part) for number, part in enumerate(content))


def _part(where: str, part: object) -> str:
    if not isinstance(part, dict):
        raise _invalid(where, f"expected an object, but got {_type(part)}", code="invalid_type")
    kind = part.get("type")
    if kind != "text":
        shown = f"'{kind[:32]}'" if isinstance(kind, str) else _type(kind)
        raise _invalid(
            f"{where}.type", f"parts of type 'text' are supported, but got {shown}", code="unsupported_parameter"
        )
    fields.honoured(part, {}, known={"type": None, "text": None}, prefix=f"{where}.")
    text = part.get("text")
    if not isinstance(text, str):
        raise _invalid(f"{where}.text", f"expected a string, but got {_type(text)}", code="invalid_type")
    return text


def _type(value: object) -> str:
    return TYPE_NAMES[type(value).__name__]


def _invalid(where: str, reason: str, *, code: str = "invalid_value") -> InvalidRequest:
    return InvalidRequest(f"Invalid value for '{where}': {reason}.", parameter=where, code=code)
