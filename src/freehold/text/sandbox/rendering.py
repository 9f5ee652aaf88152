"""Runs a compiled template and watches its output grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from freehold.errors import TemplateError
from freehold.text.sandbox.budget import MAX_OUTPUT, RENDER_SECONDS, plain, spending
from freehold.text.sandbox.environment import compiled, strftime_with


def render(
    source: str, values: Mapping[str, object], *, clock: Callable[[], datetime], add_generation_prompt: bool
) -> str:
    """The output of a template.

    Args:
        source: its text.
        values: the variables that it sees, copied first.
        clock: the present time.
        add_generation_prompt: a variable of its own, because every template has it.

    Raises:
        TemplateError: it takes too long or makes too much, or calls `raise_exception`.
        Exception: whatever else goes wrong in it.
    """
    template = compiled(source)
    parts: list[str] = []
    length = 0
    with spending(RENDER_SECONDS) as used:
        variables = {name: plain(value, name) for name, value in values.items()}
        variables |= {"add_generation_prompt": add_generation_prompt, "strftime_now": strftime_with(clock)}
        context = template.new_context(variables)
        for part in template.root_render_func(context):
            used.tick()
            length += len(part)
            if length > MAX_OUTPUT:
                raise _too_long()
            parts.append(part)
    text = "".join(parts)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_OUTPUT:
        raise _too_long()
    return text


def _too_long() -> TemplateError:
    return TemplateError(
        f"the chat template writes more than {MAX_OUTPUT} bytes", hint="send fewer or shorter messages"
    )
