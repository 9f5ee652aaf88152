"""Finding the earliest of several stop strings in text that arrives piece by piece."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Searches while it reads, each character once per stop string (Knuth, Morris and Pratt 1977).

    The result is that of searching the whole text at its end: the cut is where the earliest occurrence of any stop
    string starts, however the text was divided. So when one stop string is complete while another that started before
    it may still become complete, the decision waits.

    Attributes:
        settled: characters from the start of the text that are certain to lie before any stop string.
        cut: where the text ends, once a stop string is found for certain.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [(stop, _fallbacks(stop)) for stop in stops]
        self._matched = [0] * len(stops)
        self._read = 0
        self._earliest: int | None = None
        self.settled = 0
        self.cut: int | None = None

    def push(self, text: str) -> None:
        """Read on, unless the cut is found already."""
        if not self._stops:
            self._read += len(text)
            self.settled = self._read
            return
        for character in text:
            if self.cut is not None:
                return
            self._step(character)

    def finish(self) -> None:
        """No more text comes: what was only begun is no stop string."""
        self._decide(self._read)

    def _step(self, character: str) -> None:
        self._read += 1
        longest = 0
        for index, (stop, fallbacks) in enumerate(self._stops):
            matched = self._matched[index]
            while matched and stop[matched] != character:
                matched = fallbacks[matched]
            matched += stop[matched] == character
            if matched == len(stop):
                self._note(self._read - matched)
                matched = fallbacks[matched]
            self._matched[index] = matched
            longest = max(longest, matched)
        self._decide(self._read - longest)

    def _note(self, start: int) -> None:
        self._earliest = start if self._earliest is None else min(self._earliest, start)

    def _decide(self, begun: int) -> None:
        """No stop string that is not yet noted starts before `begun`."""
        if self._earliest is not None and self._earliest <= begun:
            self.settled = self.cut = self._earliest
        else:
            self.settled = begun


def _fallbacks(stop: str) -> list[int]:
    """For each length of a matched beginning, the length of the longest shorter one that is also matched at its end."""
    fallbacks = [0] * (len(stop) + 1)
    matched = 0
    for index in range(1, len(stop)):
        while matched and stop[index] != stop[matched]:
            matched = fallbacks[matched]
        matched += stop[index] == stop[matched]
        fallbacks[index + 1] = matched
    return fallbacks
