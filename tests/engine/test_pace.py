from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from freehold.engine.pace import FIRST_CHUNK, SMALLEST_CHUNK, STEP_SECONDS, Pace


def test_it_begins_carefully_and_finds_the_speed() -> None:
    pace = Pace(most=1000)
    assert pace.chunk == FIRST_CHUNK
    for _ in range(20):
        pace.note(pace.chunk, pace.chunk / 500)
    assert pace.chunk == round(500 * STEP_SECONDS)


def test_fast_machines_use_the_limit_and_slow_ones_do_not_stall() -> None:
    pace = Pace(most=256)
    pace.note(64, 0.001)
    assert pace.chunk == 256
    pace = Pace(most=256)
    pace.note(64, 100.0)
    assert pace.chunk == SMALLEST_CHUNK


def test_decoding_steps_say_nothing_about_prompts() -> None:
    pace = Pace(most=256)
    pace.note(1, 10.0)
    assert pace.chunk == FIRST_CHUNK


@given(st.integers(1, 1000), st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 1e6))))
def test_the_chunk_is_always_between_one_and_the_limit(most: int, steps: list[tuple[int, float]]) -> None:
    pace = Pace(most)
    for tokens, seconds in steps:
        pace.note(tokens, seconds)
        assert 1 <= pace.chunk <= most
