"""DeepSeek's calls, in two spellings, after `<think>`:

- V3 and R1: `<｜tool▁call▁begin｜>function<｜tool▁sep｜>name`, a line end and the arguments as a fenced block of JSON;
- V3.1: `<｜tool▁call▁begin｜>name<｜tool▁sep｜>{...}`.

Each ends with `<｜tool▁call▁end｜>`, and all of them stand between `<｜tool▁calls▁begin｜>` and `<｜tool▁calls▁end｜>`.
"""

from __future__ import annotations

from collections.abc import Callable

from freehold.text.dialects.calls import Call, call
from freehold.text.dialects.dialect import Dialect
from freehold.text.dialects.reading import Reader, Steps
from freehold.text.dialects.thinking import THINK, read_reasoning

CALLS, END_CALLS = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, END_CALL = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
SEPARATOR = "<｜tool▁sep｜>"
_FENCE = "```"


def _parse(read: Reader) -> Steps[None]:
    yield from read_reasoning(read, THINK)
    if read.setting.tools is None:
        return
    calls, end_calls, call_begin = (read.marker(name) for name in (CALLS, END_CALLS, CALL))
    while marker := (yield from read.until((calls, end_calls, call_begin), read.out.content)):
        read.out.separate()
        if marker == call_begin:
            yield from _read_call(read)


def _read_call(read: Reader) -> Steps[None]:
    ends = (read.marker(SEPARATOR), read.marker(END_CALL))
    head, marker = yield from read.gather(ends)
    tail = ""
    if marker == ends[0]:
        tail, _ = yield from read.gather(ends[1:])
    found = _call(head.strip(), tail.strip())
    if found is None:
        read.out.content(head + tail)
        read.out.separate()
    else:
        read.out.call(found)


def _call(head: str, tail: str) -> Call | None:
    if tail.startswith("{"):
        return call(head, tail)
    name, _, fenced = tail.partition("\n")
    fenced = fenced.strip()
    if not (fenced.startswith(_FENCE) and fenced.endswith(_FENCE)):
        return None
    return call(name, fenced.removeprefix(_FENCE).removesuffix(_FENCE).strip().removeprefix("json"))


def _forced(name: str | None) -> str:
    return CALLS + CALL + ("" if name is None else f"{name}{SEPARATOR}")


def _forced_with_type(name: str | None) -> str:
    return f"{CALLS}{CALL}function{SEPARATOR}" + ("" if name is None else f"{name}\n{_FENCE}json\n")


def _dialect(name: str, forced: Callable[[str | None], str]) -> Dialect:
    return Dialect(
        name,
        _parse,
        controls=frozenset({CALLS, END_CALLS, CALL, END_CALL, SEPARATOR, THINK.opening, THINK.closing}),
        thinking=THINK,
        reasons=True,
        forced=forced,
    )


DEEPSEEK_V3 = _dialect("deepseek_v3", _forced_with_type)
"""DeepSeek V3, R1 and the models distilled from it."""

DEEPSEEK_V31 = _dialect("deepseek_v3.1", _forced)
"""DeepSeek V3.1."""
