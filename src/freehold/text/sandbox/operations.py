"""Operators and string methods whose cost or result could be out of proportion to their operands."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from freehold.errors import TemplateError
from freehold.text.sandbox.budget import (
    MAX_INTEGER_BITS,
    MAX_ITEMS,
    MAX_STEPS,
    budget,
    concatenated,
    listed,
    weigh,
    weighed,
)

METHODS: Mapping[type, frozenset[str]] = {
    str: frozenset({
        "capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "format", "format_map",
        "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace",
        "istitle", "isupper", "join", "ljust", "lower", "lstrip", "partition", "removeprefix", "removesuffix",
        "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines",
        "startswith", "strip", "swapcase", "title", "upper", "zfill",
    }),
    dict: frozenset({"copy", "get", "items", "keys", "values"}),
    list: frozenset({"copy", "count", "index"}),
    tuple: frozenset({"count", "index", "grouper", "list"}),  # the last two are of what groupby gives
    int: frozenset(),
    float: frozenset({"is_integer"}),
}  # fmt: skip
"""What templates may call on ordinary values: nothing that changes them, nothing that leads elsewhere."""

_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_NUMBER = re.compile(r"\d+")


def binary(symbol: str, left: Any, right: Any) -> object:
    """`+`, `*`, `%` and `**` with their results bounded before they are computed."""
    budget().tick()
    match symbol:
        case "*":
            _check_repetition(left, right)
        case "**":
            _check_power(left, right)
        case "%" if isinstance(left, str):
            return percent(left, right)
        case "+":
            found = concatenated(left, right)
            if found is not None:
                return found
    return weighed(_OPERATORS[symbol](left, right))


_OPERATORS: Mapping[str, Callable[[Any, Any], object]] = {
    "+": operator.add,
    "*": operator.mul,
    "%": operator.mod,
    "**": operator.pow,
}


def percent(form: str, arguments: object) -> object:
    """`form % arguments` without outsize widths and precisions."""
    check_widths(form)
    numbers = sum(int(number) for number in _NUMBER.findall(form))
    budget().charge(len(form) + numbers + form.count("%") * weigh(arguments))
    return weighed(form % arguments)


def check_widths(form: str) -> None:
    """Refuses widths and precisions of more than four digits, and those taken from the arguments.

    Raises:
        TemplateError: one of these.
    """
    if "*" in form or any(len(number) > 4 for number in _NUMBER.findall(form)):
        raise TemplateError("the chat template uses a format with a width or precision of more than four digits")


def _check_repetition(left: object, right: object) -> None:
    if isinstance(left, int) and isinstance(right, (str, list, tuple)):
        left, right = right, left
    if isinstance(left, (str, list, tuple)) and isinstance(right, int):
        size = len(left) if isinstance(left, str) else weigh(left)
        budget().charge(size * max(right, 0))
    elif isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())


def _check_power(left: object, right: object) -> None:
    if isinstance(left, int) and isinstance(right, int) and right > 0:
        _check_bits(left.bit_length() * right)


def _check_bits(bits: int) -> None:
    if bits > MAX_INTEGER_BITS:
        raise TemplateError(f"the chat template computes an integer of {bits} bits, more than {MAX_INTEGER_BITS}")


def check_string_call(text: str, method: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
    """Bounds a call of a string's method.

    Returns:
        The arguments to call it with: an iterable to join comes back as a list.

    Raises:
        TemplateError: it could cost or make too much.
    """
    check = _CHECKS.get(method)
    return arguments if check is None else check(text, *arguments, **named) or arguments


def _check_width(text: str, width: object = 0, *_: object, **__: object) -> None:
    if isinstance(width, int):
        budget().charge(max(len(text), width))


def _check_tabs(text: str, tabsize: object = 8, **_: object) -> None:
    if isinstance(tabsize, int):
        budget().charge(len(text) + text.count("\t") * max(tabsize, 0))


def _check_replace(text: str, old: object = "", new: object = "", *_: object, **__: object) -> None:
    if isinstance(old, str) and isinstance(new, str):
        budget().charge(len(text) + (text.count(old) if old else len(text) + 1) * len(new))


def _check_join(text: str, items: Iterable[object] = (), *_: object) -> tuple[list[object]]:
    parts = listed(items)
    budget().charge(len(text) * len(parts) + sum(weigh(part) for part in parts))
    return (parts,)


def _check_split(text: str, separator: object = None, *_: object, sep: object = None, **__: object) -> None:
    separator = separator if isinstance(separator, str) else sep
    pieces = text.count(separator) if isinstance(separator, str) and separator else len(text.split(None, MAX_ITEMS + 1))
    _check_pieces(pieces)


def _check_right_split(text: str, separator: object = None, *_: object, sep: object = None, **__: object) -> None:
    _check_split(text, separator, sep=sep)
    _check_steps(text, separator if isinstance(separator, str) else sep)


def _check_lines(text: str, *_: object, **__: object) -> None:
    _check_pieces(sum(text.count(end) for end in _LINE_ENDS))


def _check_steps(text: str, pattern: object = "", *_: object) -> None:
    """For what compares each character of the text with each of the pattern at worst."""
    if isinstance(pattern, str) and len(text) * len(pattern) > MAX_STEPS:
        raise TemplateError("the chat template searches a long text for a long pattern")


def _check_pieces(count: int) -> None:
    if count > MAX_ITEMS:
        raise TemplateError(f"the chat template splits a text into more than {MAX_ITEMS} parts")


_CHECKS: Mapping[str, Callable[..., tuple[Any, ...] | None]] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill"), _check_width),
    "expandtabs": _check_tabs,
    "replace": _check_replace,
    "join": _check_join,
    "split": _check_split,
    "rsplit": _check_right_split,
    "splitlines": _check_lines,
    **dict.fromkeys(("rfind", "rindex", "rpartition", "strip", "lstrip", "rstrip"), _check_steps),
}


def joined(parts: Iterable[object]) -> str:
    """The parts as one string, its size checked before it is made."""
    budget().tick()
    texts = [part if isinstance(part, str) else str(shown(part)) for part in parts]
    budget().charge(sum(map(len, texts)))
    return "".join(texts)


def shown(value: object) -> object:
    """A value that is about to be printed, charged for what it takes."""
    if not isinstance(value, str):
        size = weigh(value)
        if size > 64:
            budget().charge(size)
    return value
