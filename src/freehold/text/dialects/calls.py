"""Calls in JSON, as most dialects write them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

_SEPARATORS = re.compile(r"[\s;,]*")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function.

    Attributes:
        name: the function's.
        arguments: a JSON object.
        call_id: what the model called it, if it did.
    """

    name: str
    arguments: str
    call_id: str | None = None


def call(name: object, arguments: object, call_id: object = None) -> Call | None:
    """A call with arguments of JSON-like values, or None where name or arguments are none.

    Args:
        arguments: an object, the JSON of one, or None for none at all.
    """
    if not isinstance(name, str) or not name.strip() or not _is_unicode(name):
        return None
    if isinstance(arguments, str):
        arguments = parsed(arguments)
    elif arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        return None
    try:
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        if not _is_unicode(text):
            text = json.dumps(arguments)  # half a surrogate pair can only be escaped
    except (ValueError, RecursionError):
        return None
    own_id = call_id if isinstance(call_id, str) and call_id and _is_unicode(call_id) else None
    return Call(name.strip(), text, own_id)


def parsed(text: str) -> object:
    """The value of a JSON text, or None where it is no JSON. Control characters in strings are let through."""
    try:
        return _DECODER.decode(text.strip())
    except (ValueError, RecursionError):
        return None


def json_calls(text: str) -> tuple[list[Call], str]:
    """The calls at the start of a text, and the rest of it from where there are none any more.

    A call is an object with `name` and `arguments` or `parameters`, also within `function`, or a list of such. Several
    may follow each other.
    """
    calls: list[Call] = []
    at = _past_separators(text, 0)
    while at < len(text):
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        found = [_from_object(item) for item in (value if isinstance(value, list) else [value])]
        certain = [item for item in found if item is not None]
        if not certain or len(certain) < len(found):
            break
        calls += certain
        at = _past_separators(text, end)
    return calls, text[at:] if calls else text


def _past_separators(text: str, at: int) -> int:
    found = _SEPARATORS.match(text, at)
    return at if found is None else found.end()


def _from_object(value: object) -> Call | None:
    if not isinstance(value, Mapping):
        return None
    inner = value.get("function")
    source = inner if isinstance(inner, Mapping) else value
    arguments = source.get("arguments", source.get("parameters"))
    return call(source.get("name"), arguments, value.get("id"))


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse)
