"""Guesses from a sequence's own text, and how much they are trusted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from freehold.engine.lookup import CONTEXT, FIRST_CHANCES, MOST_MISSES, PromptLookup


def _read(tokens: list[int]) -> PromptLookup:
    lookup = PromptLookup()
    lookup.read(tokens)
    return lookup


def test_what_followed_the_same_tokens_is_the_guess() -> None:
    tokens = [1, 2, 3, 4, 5, 6, 7, 1, 2, 3]
    assert _read(tokens).guess(tokens, 4) == (4, 5, 6, 7)


def test_what_followed_lately_comes_first() -> None:
    tokens = [1, 2, 3, 8, 1, 2, 3, 9, 1, 2, 3]
    assert _read(tokens).guess(tokens, 2) == (9, 1)


def test_a_text_that_repeats_itself_is_guessed_beyond_its_end() -> None:
    tokens = [7, 5, 6, 7, 5, 6, 7]
    assert _read(tokens).guess(tokens, 8) == (5, 6, 7, 5, 6, 7, 5, 6)


def test_nothing_alike_is_no_guess() -> None:
    for tokens in ([1], [1, 2, 3], [1, 2, 3, 4, 9, 2, 3]):
        lookup = _read(tokens)
        assert lookup.guess(tokens, 3) == ()
        assert lookup.likelihoods(3) == []


def test_while_guesses_come_true_it_follows_the_place_it_began_with() -> None:
    """Though the last three tokens were seen later elsewhere, too."""
    tokens = [1, 2, 3, 4, 5, 6, 7, 8, 4, 5, 6, 9, 1, 2, 3]
    lookup = _read(tokens)
    tokens += [4, 5, 6]
    lookup.read(tokens)
    assert lookup.guess(tokens, 2) == (7, 8)


def test_a_value_that_is_another_one_does_not_end_it() -> None:
    """1 2 3 (a value of one token) 4 5 6, with a value that was never there."""
    tokens = [1, 2, 3, 30, 4, 5, 6, 1, 2, 3]
    lookup = _read(tokens)
    assert lookup.guess(tokens, 1) == (30,)
    tokens.append(31)
    lookup.read(tokens)
    assert lookup.guess(tokens, 3) == (4, 5, 6)
    assert lookup.likelihoods(1) == [FIRST_CHANCES[0]]


def test_a_value_that_was_there_elsewhere_leads_there() -> None:
    tokens = [2, 3, 31, 8, 9, 1, 2, 3, 30, 4, 5, 6, 1, 2, 3]
    lookup = _read(tokens)
    tokens.append(31)
    lookup.read(tokens)
    assert lookup.guess(tokens, 2) == (8, 9)


def test_a_place_is_given_up_when_nothing_comes_true() -> None:
    tokens = [*range(1, 40), 1, 2, 3]
    lookup = _read(tokens)
    for other in range(100, 100 + MOST_MISSES):
        tokens.append(other)
        lookup.read(tokens)
    assert lookup.guess(tokens, 1) == (4 + MOST_MISSES,)
    tokens.append(99)
    lookup.read(tokens)
    assert lookup.guess(tokens, 1) == ()


def test_guesses_are_judged_though_nobody_drafts_them() -> None:
    period = list(range(20))
    tokens = period + period[:3]
    lookup = _read(tokens)
    begun = lookup.likelihoods(4)
    assert begun[0] == FIRST_CHANCES[1]
    assert begun == sorted(begun, reverse=True)
    for token in period[3:]:
        tokens.append(token)
        lookup.read(tokens)
    assert lookup.likelihoods(1)[0] > FIRST_CHANCES[-1]


def test_wrong_guesses_are_trusted_less_each_time_and_right_ones_restore_the_trust() -> None:
    """What comes between is new each time and one token longer, so that nothing is ever in its place."""
    tokens, lookup, chances = [1, 2, 3], PromptLookup(), []
    for others in range(1, 20):
        lookup.read(tokens)
        chances += lookup.likelihoods(1)
        tokens += [*range(others * 100, others * 101), 1, 2, 3]
    assert len(chances) == 18
    assert chances == sorted(chances, reverse=True)
    assert chances[-1] < 0.03
    for _ in range(20):
        tokens += [29, 1, 2, 3]
        lookup.read(tokens)
    assert lookup.likelihoods(1)[0] > 0.8


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(1, 12), st.data())
def test_the_first_guess_is_what_a_search_finds_or_what_a_true_guess_led_to(
    tokens: list[int], count: int, data: st.DataObject
) -> None:
    lookup, read = PromptLookup(), 0
    source: int | None = None
    misses = 0
    while read < len(tokens):
        before, read = read, data.draw(st.integers(read + 1, len(tokens)))
        lookup.read(tokens[:read])
        for end in range(before + 1 if before else read, read + 1):
            found = _search(tokens[:end])
            was_right = source is not None and before and tokens[source] == tokens[end - 1]
            if source is None:
                source = found
            else:
                source = source + 1 if was_right or found is None else found
                misses = 0 if was_right or found is not None else misses + 1
            if misses > MOST_MISSES:
                source = None
        assert lookup.guess(tokens[:read], 1) == (() if source is None else (tokens[source],))
        assert all(token in tokens[:read] for token in lookup.guess(tokens[:read], count))


def _search(tokens: list[int]) -> int | None:
    """Where the last tokens were followed most lately, one place after the other."""
    for start in range(len(tokens) - CONTEXT - 1, -1, -1):
        if tokens[start : start + CONTEXT] == tokens[-CONTEXT:]:
            return start + CONTEXT
    return None
