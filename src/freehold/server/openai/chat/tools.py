"""The functions that a request offers, and which of them the model has to call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from freehold.errors import InvalidRequest
from freehold.server.body import TYPE_NAMES
from freehold.server.openai import fields
from freehold.text import MustCall

MAX_TOOLS = 128
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOOL = dict.fromkeys(("type", "function"))
_FUNCTION = dict.fromkeys(("name", "description", "parameters"))
_CHOICE = {"type": None, "function": None}

_STRICT = fields.Neutral((False,), "Arguments are not held to their schema while they are generated.")


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether and what to call.

    Attributes:
        kind: OpenAI's word; "named" where the request names a function.
        name: that function.
    """

    kind: Literal["none", "auto", "required", "named"]
    name: str | None = None


def parse_tools(value: object) -> tuple[dict[str, Any], ...]:
    """Functions in OpenAI's form, as chat templates take them.

    Raises:
        InvalidRequest: names the tool and the field at fault.
    """
    if not isinstance(value, list):
        raise invalid("tools", f"expected an array, but got {type_name(value)}", code="invalid_type")
    if len(value) > MAX_TOOLS:
        raise invalid("tools", f"expected at most {MAX_TOOLS} tools, but got {len(value)}")
    tools = tuple(_tool(f"tools[{number}]", tool) for number, tool in enumerate(value))
    names = [tool["function"]["name"] for tool in tools]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise invalid(f"tools[{number}].function.name", f"there is another function '{name}'")
    return tools


def parse_tool_choice(value: object) -> ToolChoice:
    """
    Raises:
        InvalidRequest: it is none of those that are honoured.
    """
    match value:
        case "none" | "auto" | "required":
            return ToolChoice(value)
        case {"type": "function", "function": {"name": str(name), **more}, **others} if not more and not others:
            return ToolChoice("named", name)
        case _:
            expected = '"none", "auto", "required" or {"type": "function", "function": {"name": ...}}'
            raise invalid("tool_choice", f"expected {expected}", code="unsupported_parameter")


def must_call(choice: ToolChoice, tools: tuple[dict[str, Any], ...]) -> MustCall | None:
    """What the answer has to call.

    Raises:
        InvalidRequest: the choice cannot be made among these tools.
    """
    if choice.kind in ("none", "auto"):
        return None
    names = [tool["function"]["name"] for tool in tools]
    if not names:
        raise invalid("tool_choice", "there are no 'tools' to call")
    if choice.kind == "named" and choice.name not in names:
        raise invalid("tool_choice", f"there is no function '{str(choice.name)[:64]}' among 'tools'")
    return MustCall(choice.name if choice.kind == "named" else names[0] if len(names) == 1 else None)


def _tool(where: str, value: object) -> dict[str, Any]:
    tool = expect_object(where, value)
    if tool.get("type") != "function":
        raise invalid(f"{where}.type", "tools of type 'function' are supported", code="unsupported_parameter")
    fields.honoured(tool, {}, known=_TOOL, prefix=f"{where}.")
    inner = f"{where}.function"
    function = fields.honoured(
        expect_object(inner, tool.get("function")), {"strict": _STRICT}, known=_FUNCTION, prefix=f"{inner}."
    )
    check_function_name(f"{inner}.name", function.get("name"))
    if not isinstance(function.get("description", ""), str):
        message = f"expected a string, but got {type_name(function['description'])}"
        raise invalid(f"{inner}.description", message, code="invalid_type")
    parameters = expect_object(f"{inner}.parameters", function.get("parameters", {"type": "object", "properties": {}}))
    # Templates rely on all three being there.
    complete = {"name": function["name"], "description": function.get("description", ""), "parameters": parameters}
    return {"type": "function", "function": complete}


def check_function_name(where: str, name: object) -> str:
    """
    Raises:
        InvalidRequest: it is no name of a function.
    """
    if not isinstance(name, str):
        raise invalid(where, f"expected a string, but got {type_name(name)}", code="invalid_type")
    if not _NAME.fullmatch(name):
        raise invalid(where, "expected 1 to 64 letters, digits, underscores or dashes")
    return name


def expect_object(where: str, value: object) -> dict[str, Any]:
    """
    Raises:
        InvalidRequest: it is none.
    """
    if not isinstance(value, dict):
        raise invalid(where, f"expected an object, but got {type_name(value)}", code="invalid_type")
    return value


def type_name(value: object) -> str:
    """What a value's type is called in JSON."""
    return TYPE_NAMES[type(value).__name__]


def invalid(where: str, reason: str, *, code: str = "invalid_value") -> InvalidRequest:
    """A complaint about a field."""
    return InvalidRequest(f"Invalid value for '{where}': {reason}.", parameter=where, code=code)
