"""`<tool_call>{"name": ..., "arguments": {...}}</tool_call>`: Hermes, Qwen 2.5, Qwen 3, and `<think>` before it.

Without tools it is the dialect of all models that only think.
"""

from __future__ import annotations

from freehold.text.dialects.calls import json_calls
from freehold.text.dialects.dialect import Dialect
from freehold.text.dialects.reading import Reader, Steps
from freehold.text.dialects.thinking import THINK, read_reasoning

OPENING, CLOSING = "<tool_call>", "</tool_call>"


def _parse(read: Reader) -> Steps[None]:
    yield from read_reasoning(read, THINK)
    if read.setting.tools is None:
        return
    opening, closing = read.marker(OPENING), read.marker(CLOSING)
    while (yield from read.until((opening,), read.out.content)):
        read.out.separate()
        yield from read_json_call(read, closing)


def read_json_call(read: Reader, closing: str) -> Steps[str | None]:
    """Reads calls in JSON up to a marker, and gives that marker. What is no call is content."""
    text, marker = yield from read.gather_json(closing)
    calls, rest = json_calls(text)
    for call in calls:
        read.out.call(call)
    read.out.content(rest)
    read.out.separate()
    return marker


def _forced(name: str | None) -> str:
    return f'{OPENING}\n{{"name":' if name is None else f'{OPENING}\n{{"name": "{name}", "arguments":'


HERMES = Dialect(
    "hermes",
    _parse,
    controls=frozenset({OPENING, CLOSING, THINK.opening, THINK.closing}),
    thinking=THINK,
    reasons=True,
    forced=_forced,
)
