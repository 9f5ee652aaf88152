"""Collects the events of an answer."""

from __future__ import annotations

from collections.abc import Callable

from freehold.text.dialects.calls import Call
from freehold.text.dialects.events import Content, Event, Reasoning, ToolCallArguments, ToolCallStarted


class Emitter:
    """Takes what a parser finds and hands it out as events.

    Space around markers is there for the model's sake and belongs neither to its reasoning nor to its answer:
    `separate` says that a marker was read. All other space is kept.

    Args:
        new_id: makes ids for calls that the model gives none.

    Attributes:
        calls: how many calls there were.
    """

    def __init__(self, new_id: Callable[[], str]) -> None:
        self.calls = 0
        self._new_id = new_id
        self._ids: set[str] = set()
        self._events: list[Event] = []
        self._kind: type[Reasoning] | type[Content] = Content
        self._space = ""  # at the end of what was said, until it is certain that more follows
        self._after_marker = False
        self._begins = False
        self._said: set[type[Reasoning] | type[Content]] = set()

    def reasoning(self, text: str) -> None:
        """More of the reasoning."""
        self._say(Reasoning, text)

    def content(self, text: str) -> None:
        """More of the answer."""
        self._say(Content, text)

    def call(self, call: Call) -> None:
        """A whole call."""
        self.separate()
        call_id = call.call_id if call.call_id and call.call_id not in self._ids else self._new_id()
        self._ids.add(call_id)
        self._events += [ToolCallStarted(self.calls, call_id, call.name), ToolCallArguments(self.calls, call.arguments)]
        self.calls += 1

    def separate(self) -> None:
        """A marker was read."""
        self._space = ""
        self._after_marker = True

    def paragraph(self) -> None:
        """A new message begins; an empty line keeps it apart from an earlier one of its kind."""
        self.separate()
        self._begins = True

    def end(self) -> None:
        """Nothing follows, so that space at the end is the end of what was said."""
        if self._space and not self._after_marker:
            self._events.append(self._kind(self._space))
        self._space = ""

    def take(self) -> list[Event]:
        """The events since the last time, neighbours of one kind joined."""
        events: list[Event] = []
        for event in self._events:
            match events[-1:], event:
                case [Content(before)], Content(text):
                    events[-1] = Content(before + text)
                case [Reasoning(before)], Reasoning(text):
                    events[-1] = Reasoning(before + text)
                case _:
                    events.append(event)
        self._events = []
        return events

    def _say(self, kind: type[Reasoning] | type[Content], text: str) -> None:
        if self._after_marker:
            text = text.lstrip()
        if not text:
            return
        if self._begins and kind in self._said:
            text = "\n\n" + text
        self._after_marker = self._begins = False
        self._said.add(kind)
        said = text.rstrip()
        if said:
            self._events.append(kind(self._space + said))
            self._space = ""
        self._space += text[len(said) :]
        self._kind = kind
