"""How far a draft model has come in each block, whoever owns the block by now."""

from __future__ import annotations

from freehold.engine.draft_cache import DraftCache
from freehold.engine.sequence import Sequence
from tests.engine.simulation import BLOCK, make_sequence


def _sequence(*blocks: int) -> Sequence:
    sequence = make_sequence(0, BLOCK * len(blocks))
    sequence.blocks.extend(blocks)
    return sequence


def test_what_is_filled_counts_from_the_first_position_on() -> None:
    cache = DraftCache(8, BLOCK)
    sequence = _sequence(5, 2, 7)
    assert cache.length(sequence) == 0
    cache.fill(sequence, 0, BLOCK + 3)
    assert cache.length(sequence) == BLOCK + 3
    cache.fill(sequence, BLOCK + 3, 3 * BLOCK)
    assert cache.length(sequence) == 3 * BLOCK


def test_a_block_is_filled_for_all_that_hold_it() -> None:
    cache = DraftCache(8, BLOCK)
    cache.fill(_sequence(5, 2), 0, 2 * BLOCK)
    assert cache.length(_sequence(5, 3)) == BLOCK
    assert cache.length(_sequence(3, 2)) == 0


def test_a_new_owner_finds_nothing() -> None:
    cache = DraftCache(8, BLOCK)
    sequence = _sequence(5, 2)
    cache.fill(sequence, 0, 2 * BLOCK)
    cache.renewed(2)
    assert cache.length(sequence) == BLOCK


def test_guesses_that_turn_out_right_count_from_then_on() -> None:
    cache = DraftCache(8, BLOCK)
    sequence = _sequence(5, 2, 7)
    cache.fill(sequence, 0, BLOCK + 1)
    places = cache.places(sequence, BLOCK + 1)
    assert cache.length(sequence) == BLOCK + 1
    cache.settle(sequence, BLOCK + 1, 2 * BLOCK + 2, places)
    assert cache.length(sequence) == 2 * BLOCK + 2


def test_none_of_them_was_right() -> None:
    cache = DraftCache(8, BLOCK)
    sequence = _sequence(5, 2)
    cache.fill(sequence, 0, BLOCK)
    cache.settle(sequence, BLOCK, BLOCK, cache.places(sequence, BLOCK))
    assert cache.length(sequence) == BLOCK


def test_right_guesses_count_only_where_they_still_are() -> None:
    """The sequence gave its last two blocks back in between and got two again: the same numbers, or others."""
    for renewed, blocks, left in (((7,), (5, 2, 7), 2 * BLOCK), ((2, 7), (5, 2, 7), BLOCK), ((), (5, 3, 7), BLOCK)):
        cache = DraftCache(8, BLOCK)
        sequence = _sequence(5, 2, 7)
        cache.fill(sequence, 0, BLOCK + 1)
        places = cache.places(sequence, BLOCK + 1)
        for block in renewed:
            cache.renewed(block)
        cache.settle(_sequence(*blocks), BLOCK + 1, 2 * BLOCK + 2, places)
        assert cache.length(_sequence(*blocks)) == left
