"""`<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`: Qwen 3 Coder, Qwen 3.5.

Values are bare text; what they are meant to be is in the schema of the function's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping

from freehold.text.dialects.calls import Call, call, parsed
from freehold.text.dialects.dialect import Dialect
from freehold.text.dialects.hermes import CLOSING, OPENING, read_json_call
from freehold.text.dialects.reading import Reader, Steps, Tools
from freehold.text.dialects.thinking import THINK, read_reasoning

FUNCTION, END_FUNCTION = "<function=", "</function>"
PARAMETER, END_PARAMETER = "<parameter=", "</parameter>"

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_PYTHON = {"True": True, "False": False, "None": None}


def _parse(read: Reader) -> Steps[None]:
    yield from read_reasoning(read, THINK)
    if read.setting.tools is None:
        return
    opening, closing = read.marker(OPENING), read.marker(CLOSING)
    # Some models forget the outer marker of the first call, so the inner one begins a call by itself.
    while marker := (yield from read.until((opening, FUNCTION), read.out.content)):
        read.out.separate()
        if marker == FUNCTION or (yield from read.opens_with(FUNCTION)):
            yield from _read_function(read)
            yield from read.opens_with(closing)
            read.out.separate()
        else:
            yield from read_json_call(read, closing)


def _read_function(read: Reader) -> Steps[None]:
    """Reads a function from after `<function=`. What is none is content."""
    said: list[str] = []
    ends = (END_FUNCTION, read.marker(CLOSING))
    # A value ends at its own marker only: it may be a text about these markers.
    while (marker := (yield from read.until((PARAMETER, *ends), said.append))) == PARAMETER:
        said.append(PARAMETER)
        if (yield from read.until((END_PARAMETER,), said.append)):
            said.append(END_PARAMETER)
    text = "".join(said)
    found = None if marker is None else _function(text, read.setting.tools or {})
    if found is None:
        read.out.content(FUNCTION + text + (END_FUNCTION if marker == END_FUNCTION else ""))
    else:
        read.out.call(found)


def _function(text: str, tools: Tools) -> Call | None:
    """The call in what stands between `<function=` and its end."""
    name, closed, _ = text.partition(">")
    at = len(name) + 1
    schemas = tools.get(name.strip(), {}).get("properties")
    arguments: dict[str, object] = {}
    while (start := text.find(PARAMETER, at)) >= 0:
        named = text.find(">", start)
        end = text.find(END_PARAMETER, named)
        if text[at:start].strip() or named < 0 or end < 0:
            return None
        key = text[start + len(PARAMETER) : named].strip()
        value = text[named + 1 : end].removeprefix("\n").removesuffix("\n")
        arguments[key] = typed(value, schemas.get(key) if isinstance(schemas, Mapping) else None)
        at = end + len(END_PARAMETER)
    return call(name, arguments) if closed and not text[at:].strip() else None


def typed(value: str, schema: object) -> object:
    """A bare value as what a schema says it is; text where the schema allows that, or the value is nothing else."""
    allowed = _allowed(schema)
    if "null" in allowed and value.strip() in ("null", "None"):
        return None
    if not allowed or "string" in allowed:
        return value
    found = _PYTHON[value.strip()] if value.strip() in _PYTHON else parsed(value)
    fits = _TYPES.get(type(found)) in allowed or (type(found) is int and "number" in allowed)
    return found if fits else value


def _allowed(schema: object) -> frozenset[object]:
    """The types that a schema names."""
    if not isinstance(schema, Mapping):
        return frozenset()
    named = schema.get("type")
    types = set(named) if isinstance(named, list) and all(isinstance(item, str) for item in named) else {named} - {None}
    for part in ("anyOf", "oneOf"):
        for choice in schema[part] if isinstance(schema.get(part), list) else ():
            types |= _allowed(choice)
    return frozenset(item for item in types if isinstance(item, str))


def _forced(name: str | None) -> str:
    return f"{OPENING}\n{FUNCTION}" if name is None else f"{OPENING}\n{FUNCTION}{name}>\n"


QWEN_XML = Dialect(
    "qwen_xml",
    _parse,
    controls=frozenset({OPENING, CLOSING, THINK.opening, THINK.closing}),
    thinking=THINK,
    reasons=True,
    forced=_forced,
)
