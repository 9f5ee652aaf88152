from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from freehold.engine.memory import choose_cache_tokens

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
