"""Cutting text that arrives piece by piece at markers."""

from __future__ import annotations

import re
from functools import lru_cache


class Scanner:
    """A buffer of unread text. What it gives out does not depend on how the text was divided when it came.

    Each character is searched once, whatever the text, so that no output of a model can make it slow. No marker may be
    the beginning of another one that is searched together with it.

    Attributes:
        ended: whether no more text will come.
    """

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self.ended = False

    def feed(self, text: str) -> None:
        """More text."""
        self._text = self._text[self._at :] + text
        self._at = 0

    @property
    def unread(self) -> str:
        """The text that was not given out yet."""
        return self._text[self._at :]

    def skip(self, count: int) -> None:
        """Read over so many characters."""
        self._at += count

    def next(self, markers: tuple[str, ...]) -> tuple[str, str | None]:
        """The text before the first of the markers, and that marker; both count as read.

        Without a marker in sight it is all text but the end that may still become one, and None.
        """
        found = _any_of(markers).search(self._text, self._at) if markers else None
        if found is not None:
            text = self._text[self._at : found.start()]
            self._at = found.end()
            return text, found[0]
        end = len(self._text) if self.ended else self._first_begun(markers)
        text = self._text[self._at : end]
        self._at = end
        return text, None

    def _first_begun(self, markers: tuple[str, ...]) -> int:
        """Where the longest unfinished marker at the end of the text starts."""
        end = len(self._text)
        longest = max(map(len, markers), default=1)
        for start in range(max(self._at, end - longest + 1), end):
            tail = self._text[start:]
            if any(marker.startswith(tail) for marker in markers):
                return start
        return end


@lru_cache(maxsize=256)
def _any_of(markers: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, markers)))
