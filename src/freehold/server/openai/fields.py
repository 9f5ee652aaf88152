"""The fate of every request field: honoured, accepted because it asks for nothing, or refused by name.

Honoured fields, and labels that by OpenAI's own definition have no effect on the output, are attributes of the request
models (`chat/request.py`, `completions/request.py`). `NEUTRAL` below lists the fields that we do not honour, with the
values that ask for nothing and are therefore accepted. Every other value of theirs, and every unknown field, is a 400.
null means absent, for every field.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from freehold.errors import InvalidRequest
from freehold.server.body import TYPE_NAMES

RequestModel = TypeVar("RequestModel", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Neutral:
    """A field that is not honoured.

    Attributes:
        values: those accepted, because they ask for nothing that would not happen anyway.
        reason: why others are refused, as a sentence for the client.
    """

    values: tuple[object, ...]
    reason: str


_USE_TOOLS = "Functions are offered through 'tools'."
_NO_AUDIO = "This server generates text only."
_CACHE = "The prefix cache is in memory, keyed by content, and not configurable by request."

CHAT: Mapping[str, Neutral] = {
    "audio": Neutral((), _NO_AUDIO),
    "function_call": Neutral(("none", "auto"), _USE_TOOLS),  # without functions both mean: answer with a message
    "functions": Neutral(([],), _USE_TOOLS),
    "modalities": Neutral((["text"],), _NO_AUDIO),
    "moderation": Neutral((), "There is no moderation model here."),
    "prediction": Neutral((), "Predicted outputs are not supported."),
    "prompt_cache_options": Neutral(({}, {"mode": "implicit"}), _CACHE),
    "prompt_cache_retention": Neutral(("in_memory",), _CACHE),
    "response_format": Neutral(({"type": "text"},), "Structured output is not supported yet."),
    "store": Neutral((False,), "This server stores no conversations."),
    "verbosity": Neutral(("medium",), "The models served here have no adjustable verbosity."),
    "web_search_options": Neutral((), "This server does not search the web."),
}
"""Fields of OpenAI's CreateChatCompletionRequest that we do not honour."""

COMPLETIONS: Mapping[str, Neutral] = {
    "suffix": Neutral(("",), "Text cannot be inserted before a suffix."),
}
"""Fields of OpenAI's CreateCompletionRequest that we do not honour."""

MESSAGE: Mapping[str, Neutral] = {
    "annotations": Neutral(([],), "Annotations of earlier answers are not supported."),
    "audio": Neutral((), _NO_AUDIO),
    "function_call": Neutral((), "Calls stand in 'tool_calls'."),
    "refusal": Neutral((), "Refusals have no place in the chat templates served here; send the text as content."),
    "tool_call_id": Neutral((), "Only messages of the role 'tool' are results of calls."),
    "tool_calls": Neutral(([],), "Only messages of the assistant hold calls."),
}
"""Fields of chat messages that we do not honour, the last two in all roles but one; answers come back with them."""


def parse(body: Mapping[str, object], model: type[RequestModel], neutral: Mapping[str, Neutral]) -> RequestModel:
    """The request model of a body, every field of it with its fate.

    Raises:
        InvalidRequest: names the first field at fault.
    """
    present = honoured(body, neutral, known=model.model_fields, prefix="")
    try:
        return model.model_validate(present)
    except ValidationError as error:
        raise _first(error) from None


def honoured(
    fields: Mapping[str, object], neutral: Mapping[str, Neutral], *, known: Mapping[str, object], prefix: str
) -> dict[str, object]:
    """The fields without nulls and without those that ask for nothing.

    Args:
        known: names of the fields that are honoured.
        prefix: what the client would write before a field's name.

    Raises:
        InvalidRequest: a field is unknown, or asks for what we do not do.
    """
    present = {}
    for name, value in fields.items():
        if name in neutral:
            _check_neutral(prefix + name, value, neutral[name])
        elif name not in known:
            raise _unknown(prefix, name, [*known, *neutral])
        elif value is not None:
            present[name] = value
    return present


def _check_neutral(name: str, value: object, field: Neutral) -> None:
    if value is None or any(type(value) is type(allowed) and value == allowed for allowed in field.values):
        return
    accepted = ", ".join(json.dumps(allowed) for allowed in field.values)
    also = f" Accepted values: {accepted}." if accepted else ""
    raise InvalidRequest(
        f"Unsupported value for '{name}': {field.reason}{also}", parameter=name, code="unsupported_parameter"
    )


def _unknown(prefix: str, name: str, names: list[str]) -> InvalidRequest:
    shown = prefix + name[:64]
    near = difflib.get_close_matches(name[:64], names, n=1)
    hint = f"did you mean '{prefix}{near[0]}'?" if near else None
    return InvalidRequest(f"Unknown field: '{shown}'.", parameter=shown, code="unknown_parameter", hint=hint)


def _first(error: ValidationError) -> InvalidRequest:
    """The first complaint of Pydantic in the words of OpenAI's API."""
    detail = error.errors(include_url=False, include_context=False)[0]
    parameter = location(detail["loc"])
    if detail["type"] == "missing":
        return InvalidRequest(
            f"Missing required field: '{parameter}'.", parameter=parameter, code="missing_required_parameter"
        )
    return InvalidRequest(
        f"Invalid value for '{parameter}': {_complaint(detail)}", parameter=parameter, code=_code(detail)
    )


def _complaint(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    value = detail["input"]
    if isinstance(value, (dict, list)):
        return f"expected {message}, but got {TYPE_NAMES[type(value).__name__]}."
    shown = json.dumps(value) if isinstance(value, (str, int, float, bool)) else "something else"
    return f"expected {message}, but got {shown[:64]}."


def _code(detail: ErrorDetails) -> str:
    return "invalid_type" if detail["type"].endswith("_type") else "invalid_value"


def location(path: tuple[int | str, ...]) -> str:
    """`("messages", 3, "role")` as `messages[3].role`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
