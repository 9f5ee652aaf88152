from __future__ import annotations

from typing import SupportsIndex

from hypothesis import given
from hypothesis import strategies as st

from freehold.engine.stop_strings import StopStrings

ab = st.text("ab", min_size=1, max_size=5)


def _cut_by_searching(text: str, stops: list[str]) -> int | None:
    return min((text.find(stop) for stop in stops if stop in text), default=None)


@given(st.lists(ab, max_size=4), st.lists(st.text("abc", max_size=6), max_size=12))
def test_the_cut_is_that_of_searching_the_whole_text(stops: list[str], pieces: list[str]) -> None:
    search = StopStrings(stops)
    for piece in pieces:
        search.push(piece)
    search.finish()
    text = "".join(pieces)
    assert search.cut == _cut_by_searching(text, stops)
    assert search.settled == (len(text) if search.cut is None else search.cut)


@given(st.lists(ab, min_size=1, max_size=4), st.lists(st.text("abc", max_size=3), max_size=12))
def test_text_is_held_back_exactly_while_it_may_become_a_stop_string(stops: list[str], pieces: list[str]) -> None:
    search, text = StopStrings(stops), ""
    longest = max(map(len, stops))
    for piece in pieces:
        search.push(piece)
        text += piece
        if search.cut is not None:
            break
        assert len(text) - search.settled < longest
        held = text[search.settled :]
        begun = any(stop.startswith(held[start:]) for stop in stops for start in range(len(held)))
        assert begun or not held
        assert all(not stop.startswith(text[start:]) for stop in stops for start in range(search.settled))


@given(st.lists(ab, max_size=4), st.text("abc", max_size=40), st.data())
def test_how_the_text_is_divided_does_not_matter(stops: list[str], text: str, data: st.DataObject) -> None:
    whole, divided = StopStrings(stops), StopStrings(stops)
    for character in text:
        whole.push(character)
    at = data.draw(st.integers(0, len(text)))
    divided.push(text[:at])
    divided.push(text[at:])
    assert (whole.cut, whole.settled) == (divided.cut, divided.settled)


def test_an_earlier_start_wins_over_an_earlier_end() -> None:
    search = StopStrings(["abcd", "bc"])
    search.push("xabc")
    assert search.settled == 1
    search.push("d")
    assert search.cut == 1
    search = StopStrings(["abcd", "bc"])
    search.push("xabce")
    assert search.cut == 2


class CountingText(str):
    """Counts how often one of its characters is looked at."""

    looks = 0

    def __getitem__(self, index: SupportsIndex | slice) -> str:
        self.looks += 1
        return super().__getitem__(index)


def test_the_work_grows_with_the_text_only() -> None:
    """Text that keeps a long stop string almost complete is the worst case for a plain search."""
    stop = CountingText("a" * 500 + "b")
    search = StopStrings([stop])
    before = stop.looks
    search.push("a" * 10_000)
    assert stop.looks - before <= 3 * 10_000
    assert search.settled == 9_500
