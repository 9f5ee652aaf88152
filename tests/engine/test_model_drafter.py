"""A draft model reads along whatever becomes of a sequence, and is left alone where it does not pay."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.engine.sequence import Sequence
from tests.engine.draft_models import MOST_READ, Reader
from tests.engine.simulation import Simulation, make_scheduler, make_sequence

BLOCKS = 400


def _simulation(reader: Reader, blocks: int = BLOCKS, *, prefix_cache: bool = True) -> Simulation:
    return Simulation(
        make_scheduler(blocks, prefix_cache=prefix_cache, speculation=reader.speculation(blocks)), prefill_chunk=100
    )


def _run(simulation: Simulation, number: int, prompt: int | list[int], output: int) -> Sequence:
    sequence = make_sequence(number, prompt, output)
    simulation.scheduler.add(sequence)
    simulation.run()
    return sequence


def test_right_guesses_save_steps() -> None:
    reader = Reader()
    simulation = _simulation(reader)
    simulation.scheduler.add(make_sequence(0, 5, 100))
    assert simulation.run() < 40
    scheduler = simulation.scheduler
    assert scheduler.drafted["model"] == scheduler.accepted["model"] > 60
    assert not scheduler.drafted["lookup"]


def test_it_reads_a_prompt_in_bounded_pieces_and_drafts_after_the_last() -> None:
    reader = Reader()
    simulation = _simulation(reader)
    simulation.scheduler.add(make_sequence(0, 35, 60))
    while not simulation.step().work[0].draft:
        assert set(reader.passes) <= {MOST_READ}
    assert reader.passes.count(MOST_READ) > 3
    assert max(reader.passes) == MOST_READ


def test_a_known_prefix_is_not_read_again() -> None:
    reader = Reader()
    simulation = _simulation(reader)
    first = _run(simulation, 0, 60, 60)
    before = len(reader.passes)
    _run(simulation, 1, [*first.tokens[:60], 7], 20)
    assert reader.passes[before] == 1


def test_what_it_reads_is_bounded_for_all_sequences_together() -> None:
    reader = Reader()
    simulation = _simulation(reader)
    for number in range(5):
        simulation.scheduler.add(make_sequence(number, 9, 30))
    simulation.run()
    assert max(reader.passes) <= MOST_READ
    assert len(simulation.finished) == 5
    assert not reader.wrong


def test_several_sequences_are_guessed_for_in_one_pass() -> None:
    reader = Reader(seconds=0.1)
    simulation = _simulation(reader)
    for number in range(3):
        simulation.scheduler.add(make_sequence(number, 3, 60))
    simulation.run()
    assert reader.passes.count(3) > 10
    assert simulation.scheduler.accepted["model"] > 90


def test_a_useless_draft_model_is_given_up() -> None:
    reader = Reader(right=0.0)
    simulation = _simulation(reader)
    _run(simulation, 0, 5, 600)
    assert simulation.scheduler.drafted["model"] < 25
    assert len(reader.passes) < 50
    assert sum(reader.passes) < 300
    before = len(reader.passes)
    for number in range(1, 17):
        _run(simulation, number, 5, 60)
    assert len(reader.passes) - before < 2 * 20  # two scouts
    assert simulation.scheduler.pool.used == 0


def test_it_is_asked_again_where_its_guesses_would_come_true() -> None:
    """Its guesses are wrong for a while only: what it reads after a pause tells."""
    reader = Reader(right=0.0)
    simulation = _simulation(reader)
    simulation.scheduler.add(make_sequence(0, 5, 300))
    for _ in range(60):
        simulation.step()
    assert not simulation.scheduler.accepted["model"]
    reader.right = 1.0
    simulation.run()
    assert simulation.scheduler.accepted["model"] > 80


@pytest.mark.parametrize(("seconds", "some"), [(0.3, True), (1.2, False)])
def test_its_own_cost_counts(seconds: float, some: bool) -> None:
    """Guesses that always come true are not worth a pass that takes longer than a step."""
    reader = Reader(seconds=seconds)
    simulation = _simulation(reader)
    _run(simulation, 0, 5, 250)
    assert (len(reader.passes) > 50) is some
    assert (simulation.scheduler.drafted["model"] > 50) is some


def test_one_reading_tells_that_it_is_larger_than_the_model() -> None:
    reader = Reader(seconds=200.0, most_read=64)
    _run(_simulation(reader), 0, 60, 400)
    assert len(reader.passes) <= 2


@pytest.mark.parametrize(("prompt", "output"), [(200, 45), (90, 20)])
def test_a_long_prompt_is_not_read_for_a_short_answer(prompt: int, output: int) -> None:
    reader = Reader()
    _run(_simulation(reader), 0, prompt, output)
    assert reader.passes == []


def test_nothing_is_read_for_an_end_that_is_near() -> None:
    """The answer would be long enough, but there is not much left of it."""
    reader = Reader()
    simulation = _simulation(reader)
    _run(simulation, 0, 120, 55)
    assert reader.passes == []
    _run(simulation, 1, 120, 90)
    assert reader.passes


def test_a_context_of_its_own_is_kept() -> None:
    reader = Reader()
    reader.config = type(reader.config)(1_000_000, 40)
    simulation = _simulation(reader)
    _run(simulation, 0, 5, 100)
    assert simulation.scheduler.accepted["model"] > 10
    assert not reader.wrong
    assert len(reader.passes) < 45


def test_tokens_that_it_does_not_know_keep_it_out() -> None:
    reader = Reader()
    reader.config = type(reader.config)(5_000, 1_000_000)
    simulation = _simulation(reader)
    _run(simulation, 0, [5_000, 1, 2], 40)
    assert reader.passes == []
    _run(simulation, 1, [4_999, 1, 2], 40)
    assert reader.passes


def test_an_error_of_its_own_ends_it_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader()

    def fail(*_: object) -> None:
        raise MemoryError("no room")

    reader.forward = fail  # type: ignore[method-assign,assignment]
    simulation = _simulation(reader)
    for number in range(3):
        _run(simulation, number, 5, 30)
    assert len(simulation.finished) == 3
    assert not simulation.scheduler.drafted["model"]
    assert caplog.text.count("the draft model failed") == 1


@given(
    st.randoms(use_true_random=False),
    st.integers(8, 60),
    st.booleans(),
    st.sampled_from([0.3, 0.9, 1.0]),
)
@settings(deadline=None)
def test_it_always_sees_the_sequence_and_nothing_else(
    chance: random.Random, blocks: int, prefix_cache: bool, right: float
) -> None:
    """With prefixes that meet, too few blocks for all, and sequences that go in between."""
    reader = Reader(right=right, seconds=0.01, chance=random.Random(chance.random()))
    simulation = _simulation(reader, blocks, prefix_cache=prefix_cache)
    scheduler, live = simulation.scheduler, list[Sequence]()
    for number in range(60):
        if chance.random() < 0.4:
            prompt = [chance.randrange(2) for _ in range(chance.choice([1, 4, 8, 9, 17]))]
            live.append(make_sequence(number, prompt, chance.randrange(1, 15)))
            scheduler.add(live[-1])
        if live and chance.random() < 0.2:
            scheduler.remove(live.pop(chance.randrange(len(live))))
        if scheduler.running or scheduler.waiting:
            simulation.step()
        scheduler.check()
    simulation.run()
    assert not reader.wrong
    assert scheduler.pool.available == blocks
    if right == 1.0:
        assert scheduler.drafted == scheduler.accepted
