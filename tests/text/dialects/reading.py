"""Reads answers with a dialect, in one piece or in many, and folds the events into what they add up to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from freehold.text.detokeniser import CONTROL_MARK
from freehold.text.dialects import (
    DIALECTS,
    Content,
    Event,
    Reasoning,
    ToolCallArguments,
    ToolCallStarted,
)


def tool(name: str, **properties: object) -> dict[str, Any]:
    """A function with parameters of these schemas."""
    schema = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": schema}}


TOOLS = [
    tool(
        "f",
        s={"type": "string"},
        i={"type": "integer"},
        x={"type": "number"},
        b={"type": "boolean"},
        a={"type": "array"},
        o={"type": "object"},
        n={"type": ["string", "null"]},
        u={"anyOf": [{"type": "integer"}, {"type": "null"}]},
    ),
    tool("get_weather", city={"type": "string"}),
]


@dataclass
class Answer:
    """What events add up to."""

    reasoning: str = ""
    content: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def add(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Reasoning(text):
                    self.reasoning += text
                case Content(text):
                    self.content += text
                case ToolCallStarted(index, call_id, name):
                    assert index == len(self.calls)
                    self.calls.append((name, ""))
                    self.ids.append(call_id)
                case ToolCallArguments(index, text):
                    name, arguments = self.calls[index]
                    self.calls[index] = (name, arguments + text)


def read(
    dialect: str,
    pieces: str | Sequence[str],
    *,
    tools: Sequence[dict[str, Any]] | None = TOOLS,
    controls: bool = True,
    **options: Any,
) -> Answer:
    """The answer that a text is.

    Args:
        controls: the dialect's markers are control tokens of the vocabulary; in the text they stand by their names.
    """
    numbers = count()
    shown = DIALECTS[dialect].controls if controls else frozenset()
    parser = DIALECTS[dialect].parser(shown=shown, tools=tools, new_id=lambda: f"id{next(numbers)}", **options)
    answer = Answer()
    for piece in [pieces] if isinstance(pieces, str) else pieces:
        answer.add(parser.push(piece))
    answer.add(parser.finish())
    assert parser.calls == len(answer.calls)
    return answer


def marked(dialect: str, text: str) -> str:
    """A text in which the dialect's markers are control tokens."""
    for name in DIALECTS[dialect].controls:
        text = text.replace(name, CONTROL_MARK + name)
    return text
