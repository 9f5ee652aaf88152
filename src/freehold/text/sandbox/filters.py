"""The filters that templates may use: Jinja's harmless ones, and bounded versions of those that make much of little."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from jinja2 import pass_eval_context
from jinja2.filters import FILTERS
from jinja2.nodes import EvalContext

from freehold.errors import TemplateError
from freehold.text.sandbox.budget import MAX_VALUE, budget, listed, weigh, weighed
from freehold.text.sandbox.operations import check_string_call, joined, percent, shown

_UNCHANGED = (
    "abs", "attr", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int",
    "items", "last", "length", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select",
    "selectattr", "sort", "truncate", "unique", "upper", "urlencode",
)  # fmt: skip
_MAX_INDENT = 64
_MAX_TITLE = 64 << 10  # Jinja takes words one by one

Filter = Callable[..., Any]


def filters() -> dict[str, Filter]:
    """Filters by name, each checking the time and weighing its result."""
    chosen: dict[str, Filter] = {name: FILTERS[name] for name in _UNCHANGED}
    chosen.update({
        "center": _center, "e": _escape, "escape": _escape, "forceescape": _escape, "format": _format,
        "indent": _indent, "join": _join, "list": _list, "replace": _replace, "round": _round, "safe": _safe,
        "string": _string, "sum": _sum, "title": _title, "tojson": to_json, "trim": _trim,
    })  # fmt: skip
    return {name: _watched(function) for name, function in chosen.items()}


def _watched(function: Filter) -> Filter:
    @wraps(function)  # carries over whether Jinja passes its context
    def filtered(*arguments: Any, **named: Any) -> object:
        budget().tick()
        return weighed(function(*arguments, **named))

    return filtered


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(shown(value))


def _center(value: object, width: int = 80) -> str:
    text = _text(value)
    check_string_call(text, "center", (width,), {})
    return text.center(width)


def _escape(value: object) -> str:
    return str(FILTERS["forceescape"](_text(value)))


def _format(value: object, *arguments: object, **named: object) -> object:
    if arguments and named:
        raise TemplateError("the chat template's format filter has both positional and named arguments")
    return percent(_text(value), named or arguments)


def _indent(value: str, width: int | str = 4, first: bool = False, blank: bool = False) -> object:
    step = len(width) if isinstance(width, str) else width
    budget().charge(len(value) + (value.count("\n") + 1) * max(step, 0))
    return FILTERS["indent"](value, width, first, blank)


@pass_eval_context
def _join(context: EvalContext, value: Iterable[object], d: object = "", attribute: str | int | None = None) -> object:
    separator, items = _text(d), listed(value)
    budget().charge(len(separator) * len(items) + sum(weigh(item) for item in items))
    return FILTERS["join"](context, items, separator, attribute)


def _list(value: Iterable[object]) -> list[object]:
    return listed(value)


@pass_eval_context
def _replace(context: EvalContext, value: object, old: object, new: object, count: int | None = None) -> object:
    text, before, after = _text(value), _text(old), _text(new)
    check_string_call(text, "replace", (before, after), {})
    return FILTERS["replace"](context, text, before, after, count)


def _round(value: float, precision: int = 0, method: str = "common") -> object:
    if not -64 <= precision <= 64:
        raise TemplateError(f"the chat template rounds to {precision} digits, expected -64 to 64")
    return FILTERS["round"](value, precision, method)


def _safe(value: object) -> object:
    """Nothing: output is not escaped here, and Jinja's marked strings would escape what they are added to."""
    return value


def _string(value: object) -> str:
    return _text(value)


def _sum(iterable: Iterable[Any], attribute: str | int | None = None, start: float = 0) -> object:
    if attribute is not None:
        raise TemplateError("the chat template's sum filter has an attribute, which is not supported")
    items = listed(iterable)
    if not all(isinstance(item, (int, float)) for item in [start, *items]):
        raise TemplateError("the chat template's sum filter adds something else than numbers")
    return sum(items, start)


def _title(value: object) -> object:
    text = _text(value)
    if len(text) > _MAX_TITLE:
        raise TemplateError(f"the chat template writes {len(text)} characters as a title, more than {_MAX_TITLE}")
    return FILTERS["title"](text)


def _trim(value: object, chars: str | None = None) -> object:
    text = _text(value)
    check_string_call(text, "strip", () if chars is None else (chars,), {})
    return FILTERS["trim"](text, chars)


def to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as `transformers` writes it for templates: not escaped for HTML, and not for ASCII unless asked."""
    size = weigh(value)
    step = len(indent) if isinstance(indent, str) else indent or 0
    if step > _MAX_INDENT or (separators is not None and sum(map(len, separators)) > _MAX_INDENT):
        raise TemplateError("the chat template writes JSON with an outsize indent or separator")
    if step == 0:
        budget().charge(size)
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    parts: list[str] = []
    length = 0
    for part in encoder.iterencode(value):
        length += len(part)
        if length > MAX_VALUE:
            raise TemplateError(f"the chat template writes JSON of more than {MAX_VALUE} characters")
        parts.append(part)
    return joined(parts)
