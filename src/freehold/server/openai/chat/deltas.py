"""From the text of a choice to the deltas of its chunks, and from those to the message of a whole answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from freehold.server.generation import Piece
from freehold.text.dialects import Content, Event, Parser, Reasoning, ToolCallArguments, ToolCallStarted

Delta: TypeAlias = dict[str, Any]
"""What a chunk adds to a message, as JSON."""


class Answer:
    """One choice on its way out.

    Args:
        parser: reads the model's text.
        one_call: the answer ends with its first call.

    Attributes:
        complete: what follows is not part of the answer any more.
    """

    def __init__(self, parser: Parser, *, one_call: bool) -> None:
        self.complete = False
        self._parser = parser
        self._one_call = one_call

    def deltas(self, piece: Piece) -> list[Delta]:
        """What a piece adds."""
        if self.complete:
            return []
        events = self._parser.push(piece.text)
        if piece.finish_reason is not None:
            events += self._parser.finish()
        return [_delta(event) for event in self._wanted(events)]

    def finish_reason(self, reason: str) -> str:
        """OpenAI's word for why the choice ended."""
        return "tool_calls" if reason == "stop" and self._parser.calls else reason

    def _wanted(self, events: Iterable[Event]) -> list[Event]:
        wanted: list[Event] = []
        for event in events:
            wanted.append(event)
            if self._one_call and isinstance(event, ToolCallArguments):
                self.complete = True
                break
        return wanted


def _delta(event: Event) -> Delta:
    match event:
        case Content(text):
            return {"content": text}
        case Reasoning(text):
            return {"reasoning_content": text}
        case ToolCallStarted(index, call_id, name):
            function = {"name": name, "arguments": ""}
            return {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}
        case ToolCallArguments(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def message_of(deltas: Iterable[Delta]) -> dict[str, Any]:
    """The message that deltas add up to. Its content is null where it only calls."""
    content = reasoning = ""
    calls: list[dict[str, Any]] = []
    for delta in deltas:
        content += delta.get("content", "")
        reasoning += delta.get("reasoning_content", "")
        for part in delta.get("tool_calls", ()):
            if part["index"] == len(calls):
                calls.append({"id": part["id"], "type": part["type"], "function": dict(part["function"])})
            else:
                calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message |= {"content": content or None, "tool_calls": calls}
    return message
