"""Llama 3 and 4: calls as bare JSON, `{"name": ..., "parameters": {...}}`, or as Python, `[f(a=1), g(b="x")]`.

Which of them a model writes depends on its prompt; the templates of all releases ask for JSON. Nothing marks a call but
that the answer begins with one of an offered function, or that `<|python_tag|>` (Llama 4: `<|python_start|>`) precedes
it. `<|python_tag|>f.call(a="x")` is how the built-in tools of Llama 3.1 were called.
"""

from __future__ import annotations

from freehold.text.dialects.calls import Call, json_calls
from freehold.text.dialects.dialect import Dialect
from freehold.text.dialects.pythonic import pythonic_calls
from freehold.text.dialects.reading import Reader, Steps, Tools

TAGS = ("<|python_tag|>", "<|python_start|>")
END_TAG = "<|python_end|>"
_FIRST_KEYS = ('"name"', '"type"', '"function"', '"parameters"')
_BUILT_IN = ".call"


def _parse(read: Reader) -> Steps[None]:
    tools = read.setting.tools
    if tools is None or (yield from _read_bare(read, tools)):
        return
    while (yield from read.until(tuple(read.marker(tag) for tag in TAGS), read.out.content)):
        read.out.separate()
        text, _ = yield from read.gather((read.marker(END_TAG),))
        _give(read, text, marked=True)
        read.out.separate()
        # Llama 4's template writes content between the tags, and calls after them.
        yield from _read_bare(read, tools)


def _read_bare(read: Reader, tools: Tools) -> Steps[bool]:
    """Reads calls that nothing marks, up to the end of the answer; False where there are none."""
    begins = yield from read.decide(lambda text: _begins_call(text, tools))
    if begins:
        text, _ = yield from read.gather()
        _give(read, text, marked=False)
    return bool(begins)


def _begins_call(text: str, tools: Tools) -> bool | None:
    """Whether a text begins like a call of one of the tools; None while it may go either way."""
    if text.startswith("["):
        choices = [*(f"{name}(" for name in tools), "{"]
    elif text.startswith("{"):
        choices = [*_FIRST_KEYS]
    else:
        return False if text else None
    rest = text[1:].lstrip()
    if any(rest.startswith(choice) for choice in choices):
        return True
    return None if any(choice.startswith(rest) for choice in choices) else False


def _give(read: Reader, text: str, *, marked: bool) -> None:
    """The calls in a text, and the rest of it as content.

    Args:
        marked: a tag says that these are calls, so that JSON may name any function. Python may still be a program.
    """
    tools = read.setting.tools or {}
    calls, rest = json_calls(text)
    any_name = marked and bool(calls)
    if not calls:
        calls, rest = pythonic_calls(text.strip())
    calls = [_named(call, tools) for call in calls]
    if not calls or not (any_name or all(call.name in tools for call in calls)):
        read.out.content(text)
        return
    for call in calls:
        read.out.call(call)
    read.out.content(rest)


def _named(call: Call, tools: Tools) -> Call:
    """A call without the method that the built-in tools are called by."""
    bare = call.name.removesuffix(_BUILT_IN)
    return Call(bare, call.arguments, call.call_id) if call.name not in tools and bare in tools else call


def _forced(name: str | None) -> str:
    return '{"name":' if name is None else f'{{"name": "{name}", "parameters":'


LLAMA = Dialect("llama", _parse, controls=frozenset({*TAGS, END_TAG}), forced=_forced)
