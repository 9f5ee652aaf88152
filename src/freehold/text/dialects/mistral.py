"""Mistral's `[TOOL_CALLS]`, in the order of its versions:

- `[TOOL_CALLS][{"name": ..., "arguments": {...}, "id": ...}]`, a list for all calls;
- `[TOOL_CALLS]name[CALL_ID]id[ARGS]{...}`, a marker for each call;
- the same without `[CALL_ID]`.

Reasoning stands between `[THINK]` and `[/THINK]`; in the first models that reasoned, `<think>` and `</think>`.
"""

from __future__ import annotations

from collections.abc import Callable

from freehold.text.dialects.calls import call
from freehold.text.dialects.dialect import Dialect, short_id
from freehold.text.dialects.hermes import read_json_call
from freehold.text.dialects.reading import Reader, Steps
from freehold.text.dialects.thinking import THINK, Markers, read_reasoning

CALLS, CALL_ID, ARGUMENTS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
BRACKETS = Markers("[THINK]", "[/THINK]")


def _parse(read: Reader) -> Steps[None]:
    yield from read_reasoning(read, BRACKETS, THINK)
    if read.setting.tools is None:
        return
    calls = read.marker(CALLS)
    marker = yield from read.until((calls,), read.out.content)
    while marker is not None:
        read.out.separate()
        is_json = yield from read.decide(_is_json)
        marker = yield from (read_json_call(read, calls) if is_json else _read_named_call(read))


def _is_json(text: str) -> bool | None:
    return text[0] in "[{" if text else None


def _read_named_call(read: Reader) -> Steps[str | None]:
    """Reads a call from after `[TOOL_CALLS]`, and gives the marker of the next one."""
    ends = tuple(read.marker(name) for name in (CALLS, CALL_ID, ARGUMENTS))
    name, marker = yield from read.gather(ends)
    said, call_id = name, None
    if marker == ends[1]:
        call_id, marker = yield from read.gather(ends)
        said += call_id
    arguments = None
    if marker == ends[2]:
        arguments, marker = yield from read.gather(ends)
        said += arguments
    found = call(name, arguments, call_id) if arguments is not None else None
    if found is None:
        read.out.content(said)
        read.out.separate()
    else:
        read.out.call(found)
    return marker


def _forced(name: str | None) -> str:
    return CALLS if name is None else f"{CALLS}{name}{ARGUMENTS}"


def _forced_in_list(name: str | None) -> str:
    return f'{CALLS}[{{"name":' if name is None else f'{CALLS}[{{"name": "{name}", "arguments":'


def _dialect(name: str, forced: Callable[[str | None], str]) -> Dialect:
    markers = (BRACKETS.opening, BRACKETS.closing, THINK.opening, THINK.closing)
    return Dialect(
        name,
        _parse,
        controls=frozenset({CALLS, CALL_ID, ARGUMENTS, *markers}),
        thinking=BRACKETS,
        reasons=True,
        forced=forced,
        efforts=("none", "high"),
        new_id=short_id,
    )


MISTRAL_LIST = _dialect("mistral_list", _forced_in_list)
"""All calls in one list; the versions up to 7."""

MISTRAL = _dialect("mistral", _forced)
"""A marker for each call; from version 11 on."""
