"""What dialects are written in: a parser reads an answer from start to end and waits where more has to come.

A dialect is a generator function over a `Reader`. It yields wherever it needs more text; the `Parser` feeds it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from freehold.text.detokeniser import CONTROL_MARK
from freehold.text.dialects.emitting import Emitter
from freehold.text.dialects.events import Event
from freehold.text.dialects.scanning import Scanner

Result = TypeVar("Result")
Steps: TypeAlias = Generator[None, None, Result]
"""Something that is read step by step, and what it gives in the end."""

Tools: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Names of functions and the JSON schemas of their parameters."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a parser has to know besides the text.

    Attributes:
        new_id: makes ids for calls that the model gives none.
        tools: the functions that the model was offered; None where it was offered none, so that nothing is a call.
        shown: the control tokens that appear in the text, marked as `Detokeniser` marks them. Others of the dialect's
            are plain text in this vocabulary.
        thinking: the prompt ends inside of the model's reasoning.
    """

    new_id: Callable[[], str]
    tools: Tools | None = None
    shown: frozenset[str] = field(default_factory=frozenset)
    thinking: bool = False


class Reader:
    """The text of an answer on its way to becoming events.

    Attributes:
        setting: see there.
        out: takes what was found.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.out = Emitter(setting.new_id)
        self._scanner = Scanner()
        self._controls = tuple(CONTROL_MARK + name for name in sorted(setting.shown))

    def feed(self, text: str) -> None:
        """More text."""
        self._scanner.feed(text)

    def end(self) -> None:
        """No more text."""
        self._scanner.ended = True

    def marker(self, name: str) -> str:
        """A marker as it stands in the text."""
        return CONTROL_MARK + name if name in self.setting.shown else name

    def until(self, markers: tuple[str, ...], sink: Callable[[str], None]) -> Steps[str | None]:
        """Give the text before the first of the markers to `sink`, as it comes.

        Control tokens that are not among the markers have no meaning here and are left out.

        Returns:
            The marker that was found, or None at the end of the text.
        """
        every = (*markers, *(control for control in self._controls if control not in markers))
        while True:
            text, marker = self._scanner.next(every)
            if marker is None and self._scanner.ended:
                text = text.split(CONTROL_MARK)[0]  # a stop string may have cut a token's name in two
            if text:
                sink(text)
            if marker in markers or (marker is None and self._scanner.ended):
                return marker
            if marker is None:
                yield

    def gather(self, markers: tuple[str, ...] = ()) -> Steps[tuple[str, str | None]]:
        """The whole text before the first of the markers, and that marker; see `until`."""
        parts: list[str] = []
        marker = yield from self.until(markers, parts.append)
        return "".join(parts), marker

    def decide(self, test: Callable[[str], Result | None]) -> Steps[Result | None]:
        """What a test says of the unread text from its first character that is no space; None if it never says.

        Args:
            test: None where it needs more text. Nothing is read.
        """
        while True:
            result = test(self._scanner.unread.lstrip())
            if result is not None or self._scanner.ended:
                return result
            yield

    def opens_with(self, *markers: str) -> Steps[str | None]:
        """Read over a marker, if there is one at this place but for space; None if there is not."""

        def test(text: str) -> str | None:
            found = next((marker for marker in markers if text.startswith(marker)), None)
            if found is not None:
                return found
            return None if any(marker.startswith(text) for marker in markers) else ""

        found = yield from self.decide(test)
        if not found:
            return None
        unread = self._scanner.unread
        self._scanner.skip(len(unread) - len(unread.lstrip()) + len(found))
        return found

    def gather_json(self, marker: str) -> Steps[tuple[str, str | None]]:
        """The text before a marker that is not inside of a JSON string, and that marker; see `until`."""
        parts: list[str] = []
        while (found := (yield from self.until((marker, '"'), parts.append))) == '"':
            parts.append(found)
            while (found := (yield from self.until(('"', "\\\\", '\\"'), parts.append))) is not None:
                parts.append(found)
                if found == '"':
                    break
        return "".join(parts), found


Parse: TypeAlias = Callable[[Reader], Steps[None]]


class Parser:
    """Turns an answer's text into events, as it comes.

    However the text is divided, the events of each kind add up to the same.
    """

    def __init__(self, parse: Parse, setting: Setting) -> None:
        self._reader = Reader(setting)
        self._steps = _whole(parse, self._reader)
        self._running = True
        self._advance()

    @property
    def calls(self) -> int:
        """How many calls were found so far."""
        return self._reader.out.calls

    def push(self, text: str) -> list[Event]:
        """What more text makes certain.

        Args:
            text: from a detokeniser that shows the control tokens of `Setting.shown`.
        """
        self._reader.feed(text)
        self._advance()
        return self._reader.out.take()

    def finish(self) -> list[Event]:
        """The rest, once no more text comes."""
        self._reader.end()
        self._advance()
        self._reader.out.end()
        return self._reader.out.take()

    def _advance(self) -> None:
        if self._running:
            self._running = next(self._steps, _END) is not _END


def _whole(parse: Parse, reader: Reader) -> Steps[None]:
    """What a dialect leaves unread is content."""
    yield from parse(reader)
    yield from reader.until((), reader.out.content)


_END = object()
