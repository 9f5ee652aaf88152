"""`[f(a=1, b="x"), g()]`: calls as Python would write them, read without running anything.

Values are what both languages have: strings, numbers, lists, objects, truth values and nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from freehold.text.dialects.calls import Call, call

Item = TypeVar("Item")

_NAME = re.compile(r"[A-Za-z_][\w.\-]*", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_PLAIN = {quote: re.compile(rf"[^\\{quote}]*") for quote in "'\""}
_WORDS = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "0": "\0",
            "\\": "\\", "'": "'", '"': '"', "/": "/", "\n": ""}  # fmt: skip
_DIGITS = {"x": 2, "u": 4, "U": 8}
_DEEPEST = 64
_LONGEST_NUMBER = 400


class _Wrong(Exception):
    """The text is no calls."""


def pythonic_calls(text: str) -> tuple[list[Call], str]:
    """The calls at the start of a text, in brackets or one without, and the rest of it; none where it is wrong."""
    source = _Source(text)
    try:
        calls = source.listed("]", source.call) if source.took("[") else [source.call()]
    except _Wrong:
        return [], text
    return calls, text[source.at :].lstrip()


class _Source:
    """Reads a text from left to right.

    Attributes:
        at: the next character.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0
        self._depth = 0

    def took(self, sign: str) -> bool:
        """Read over a sign, if it comes next but for space."""
        self._skip_space()
        if not self._text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True

    def _skip_space(self) -> None:
        while self._text[self.at : self.at + 1].isspace():
            self.at += 1

    def expect(self, sign: str) -> None:
        if not self.took(sign):
            raise _Wrong

    def listed(self, end: str, item: Callable[[], Item]) -> list[Item]:
        """Items with commas between, up to a closing sign; a comma may stand before it."""
        items: list[Item] = []
        while not self.took(end):
            if items:
                self.expect(",")
                if self.took(end):
                    break
            items.append(item())
        return items

    def call(self) -> Call:
        self._skip_space()
        name = self._match(_NAME)
        self.expect("(")
        pairs = self.listed(")", self._argument)
        found = call(name, dict(pairs))
        if found is None or len(dict(pairs)) < len(pairs):
            raise _Wrong
        return found

    def _argument(self) -> tuple[str, object]:
        self._skip_space()
        key = self._match(_NAME)
        self.expect("=")
        return key, self.value()

    def value(self) -> object:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Wrong
        try:
            return self._value()
        finally:
            self._depth -= 1

    def _value(self) -> object:
        for quote in "'\"":
            if self.took(quote):
                return self._string(quote)
        if self.took("["):
            return self.listed("]", self.value)
        if self.took("("):
            return self.listed(")", self.value)
        if self.took("{"):
            return dict(self.listed("}", self._pair))
        return self._word() if self._text[self.at : self.at + 1].isalpha() else self._number()

    def _pair(self) -> tuple[str, object]:
        key = self.value()
        if not isinstance(key, str):
            raise _Wrong
        self.expect(":")
        return key, self.value()

    def _word(self) -> object:
        word = self._match(_NAME)
        if word not in _WORDS:
            raise _Wrong
        return _WORDS[word]

    def _number(self) -> int | float:
        text = self._match(_NUMBER)
        try:
            if len(text) > _LONGEST_NUMBER:
                raise _Wrong
            return int(text) if text.lstrip("+-").replace("_", "").isdigit() else float(text)
        except ValueError:
            raise _Wrong from None

    def _string(self, quote: str) -> str:
        """A string from after its opening quote."""
        parts = []
        while True:
            parts.append(self._match(_PLAIN[quote]))
            if self._text.startswith(quote, self.at):
                self.at += 1
                return "".join(parts)
            parts.append(self._escape())

    def _escape(self) -> str:
        kind = self._text[self.at + 1 : self.at + 2]
        if not kind:
            raise _Wrong
        self.at += 2
        if kind not in _DIGITS:
            return _ESCAPES.get(kind, "\\" + kind)  # as Python, which keeps what it does not know
        digits = self._text[self.at : self.at + _DIGITS[kind]]
        self.at += len(digits)
        try:
            return chr(int(digits, 16))
        except (ValueError, OverflowError):
            raise _Wrong from None

    def _match(self, pattern: re.Pattern[str]) -> str:
        """The text that fits a pattern here."""
        found = pattern.match(self._text, self.at)
        if found is None:
            raise _Wrong
        self.at = found.end()
        return found[0]
