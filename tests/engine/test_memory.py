from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.engine.memory import choose_cache_tokens, choose_state_slots
from freehold.errors import InvalidRequest

GIB = 1 << 30


def _choose(context: int, sequences: int, bytes_per_token: int, available: int) -> int:
    return choose_cache_tokens(
        context_length=context,
        max_sequences=sequences,
        block_size=16,
        bytes_per_token=bytes_per_token,
        available_bytes=available,
    )


def test_small_models_get_room_for_everyone() -> None:
    assert _choose(512, 16, 1024, 8 * GIB) == 512 * 16


def test_no_more_than_a_quarter_of_memory_when_one_context_fits_in_that() -> None:
    assert _choose(8192, 16, 65536, 8 * GIB) == 2 * GIB // 65536


def test_one_full_context_may_take_up_to_half() -> None:
    assert _choose(8192, 16, 131072, 3 * GIB) == 8192
    assert _choose(131072, 16, 131072, 8 * GIB) == 4 * GIB // 131072


@given(st.integers(2, 10**6), st.integers(1, 64), st.integers(1, 10**6), st.integers(0, 64 * GIB))
def test_always_whole_blocks_and_at_least_one(context: int, sequences: int, size: int, available: int) -> None:
    tokens = _choose(context, sequences, size, available)
    assert tokens % 16 == 0
    assert 16 <= tokens <= max(16, context * sequences + 15)
    assert tokens * size <= max(16 * size, available // 2 + 16 * size)


def _slots(sequences: int, size: int, available: int) -> int:
    return choose_state_slots(max_sequences=sequences, bytes_per_state=size, available_bytes=available)


def test_models_without_states_need_no_slots() -> None:
    assert _slots(16, 0, 0) == 0


def test_small_states_get_two_slots_and_some_snapshots_for_each_sequence() -> None:
    assert _slots(16, 1 << 20, 8 * GIB) == 96


def test_snapshots_take_no_more_than_an_eighth_of_memory() -> None:
    assert _slots(16, 1 << 24, 8 * GIB) == 64


def test_running_sequences_may_take_a_quarter() -> None:
    assert _slots(16, 1 << 26, 12 * GIB) == 32
    assert _slots(16, 1 << 26, 4 * GIB) == 16


def test_memory_for_less_than_one_sequence_is_refused_with_both_numbers() -> None:
    with pytest.raises(InvalidRequest, match=rf"{2 * GIB} bytes .* {GIB} may be used") as caught:
        _slots(16, GIB, 4 * GIB)
    assert caught.value.hint


def test_a_model_that_keeps_nothing_per_position_has_room_for_everyone() -> None:
    assert _choose(512, 16, 0, GIB) == 512 * 16
