"""The scheduler against a stand-in for model and sampler: random sequences of events, and what must hold after each."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.engine.sequence import Sequence
from freehold.errors import ContextExceeded
from tests.engine.simulation import BLOCK, Guesses, Simulation, make_scheduler, make_sequence, next_token


def test_a_prompt_is_computed_in_chunks_and_then_decoded() -> None:
    simulation = Simulation(make_scheduler(16))
    sequence = make_sequence(0, 19, output=3)
    simulation.scheduler.add(sequence)
    counts = []
    while not simulation.finished:
        counts.append([work.count for work in simulation.step().work])
    assert counts == [[8], [8], [3], [1], [1]]
    assert sequence.generated == 3


def test_decoding_goes_on_while_a_prompt_is_computed() -> None:
    simulation = Simulation(make_scheduler(32))
    simulation.scheduler.add(make_sequence(0, 2, output=8))
    simulation.step()
    simulation.scheduler.add(make_sequence(1, 16))
    assert [(work.sequence.number, work.count) for work in simulation.step().work] == [(0, 1), (1, 8)]
    assert [(work.sequence.number, work.count) for work in simulation.step().work] == [(0, 1), (1, 8)]


def test_prompts_share_the_chunk_oldest_first() -> None:
    simulation = Simulation(make_scheduler(32))
    for number in range(3):
        simulation.scheduler.add(make_sequence(number, 6))
    assert [(work.sequence.number, work.count) for work in simulation.step().work] == [(0, 6), (1, 2)]
    assert [(work.sequence.number, work.count) for work in simulation.step().work] == [(0, 1), (1, 4), (2, 4)]


def test_no_more_run_than_allowed() -> None:
    simulation = Simulation(make_scheduler(32, max_sequences=2))
    for number in range(3):
        simulation.scheduler.add(make_sequence(number, 1))
    simulation.step()
    assert (len(simulation.scheduler.running), len(simulation.scheduler.waiting)) == (2, 1)


def test_a_second_request_takes_the_prefix_from_the_cache() -> None:
    simulation = Simulation(make_scheduler(32))
    prompt = list(range(14))
    simulation.scheduler.add(make_sequence(0, prompt))
    simulation.run()
    second = make_sequence(1, [*prompt, 99])
    simulation.scheduler.add(second)
    assert [work.count for work in simulation.step().work] == [1]
    assert second.cached == 14


@pytest.mark.parametrize("alike", range(8, 14))
def test_what_parts_in_the_middle_of_a_block_is_copied_up_to_there(alike: int) -> None:
    simulation = Simulation(make_scheduler(32))
    simulation.scheduler.add(make_sequence(0, list(range(14))))
    simulation.run()
    second = make_sequence(1, [*range(alike), *range(100, 120)])
    simulation.scheduler.add(second)
    (work,) = simulation.step().work
    assert (work.copy is not None) == (alike % BLOCK > 0)
    assert second.cached == alike
    assert second.copy is None  # the source is let go of


def test_a_running_sequence_is_copied_from_without_harm() -> None:
    simulation = Simulation(make_scheduler(32))
    first, second = make_sequence(0, list(range(8)), output=6), make_sequence(1, [0, 1, 2, 3, 4, 5, 99], output=6)
    simulation.scheduler.add(first)
    simulation.step()
    simulation.scheduler.add(second)
    simulation.run()
    assert second.cached == 6


def test_nothing_is_copied_where_the_source_takes_a_block_too_many() -> None:
    simulation = Simulation(make_scheduler(4))
    simulation.scheduler.add(make_sequence(0, list(range(6)), output=1))
    simulation.run()
    second = make_sequence(1, [*range(6), *range(100, 108)], output=2)  # all four blocks
    simulation.scheduler.add(second)
    simulation.run()
    assert second.cached == 4


def test_a_sequence_that_goes_before_its_copy_is_done_leaves_nothing() -> None:
    simulation = Simulation(make_scheduler(8))
    simulation.scheduler.add(make_sequence(0, list(range(6)), output=1))
    simulation.run()
    second = make_sequence(1, [*range(6), 99, 98])
    simulation.scheduler.add(second)
    (work,) = simulation.scheduler.schedule(8).work
    assert work.copy is not None
    simulation.scheduler.check()
    simulation.scheduler.remove(second)
    simulation.scheduler.check()
    assert simulation.scheduler.pool.used == 0
    third = make_sequence(2, [*range(6), 99, 98])
    simulation.scheduler.add(third)
    simulation.step()  # reads back what is in the blocks
    assert third.cached == 6


def test_generated_tokens_become_part_of_a_prefix() -> None:
    simulation = Simulation(make_scheduler(32))
    first = make_sequence(0, 6, output=8)
    simulation.scheduler.add(first)
    simulation.run()
    second = make_sequence(1, [*first.tokens, 5])
    simulation.scheduler.add(second)
    simulation.step()
    assert second.cached == 13  # 14 tokens, the last of which was never computed


def test_without_prefix_cache_nothing_is_kept() -> None:
    simulation = Simulation(make_scheduler(32, prefix_cache=False))
    for number in range(2):
        simulation.scheduler.add(make_sequence(number, list(range(10))))
        simulation.run()
    assert [sequence.cached for sequence in simulation.finished] == [0, 0]
    assert simulation.scheduler.pool.free == 32


def test_identical_prompts_at_once_end_up_on_the_same_blocks() -> None:
    simulation = Simulation(make_scheduler(32), prefill_chunk=64)
    for number in range(4):
        simulation.scheduler.add(make_sequence(number, list(range(9))))
    simulation.step()
    assert len({tuple(sequence.blocks[:2]) for sequence in simulation.scheduler.running}) == 1


def test_the_youngest_is_preempted_and_keeps_what_it_generated() -> None:
    simulation = Simulation(make_scheduler(6, prefix_cache=False))
    old, young = make_sequence(0, 7, output=14), make_sequence(1, 7, output=6)
    simulation.scheduler.add(old)
    simulation.scheduler.add(young)
    generated = 0
    while simulation.scheduler.preemptions == 0:
        generated = young.generated
        simulation.step()
    assert list(simulation.scheduler.waiting) == [young]
    assert (young.generated, young.computed, len(young.blocks)) == (generated, 0, 0)
    simulation.run()
    assert [len(sequence.tokens) for sequence in (old, young)] == [21, 13]


def test_a_newcomer_leaves_a_block_for_each_running_sequence() -> None:
    simulation = Simulation(make_scheduler(4, prefix_cache=False))
    old, new = make_sequence(0, 4, output=8), make_sequence(1, 11, output=1)
    simulation.scheduler.add(old)
    simulation.step()
    simulation.scheduler.add(new)
    simulation.step()
    assert list(simulation.scheduler.waiting) == [new]  # three blocks are free, but the old one needs a second soon
    simulation.run()
    assert simulation.scheduler.preemptions == 0


def test_what_cannot_fit_alone_is_refused_with_both_counts() -> None:
    scheduler = make_scheduler(4)
    scheduler.add(make_sequence(0, 12, output=4))
    with pytest.raises(ContextExceeded, match=r"17 .* 16"):
        scheduler.add(make_sequence(1, 13, output=4))


def test_removing_frees_at_once_wherever_the_sequence_is() -> None:
    simulation = Simulation(make_scheduler(8, max_sequences=1, prefix_cache=False))
    running, waiting = make_sequence(0, 20), make_sequence(1, 4)
    simulation.scheduler.add(running)
    simulation.scheduler.add(waiting)
    simulation.step()
    simulation.scheduler.remove(waiting)
    simulation.scheduler.remove(running)
    simulation.scheduler.remove(running)
    assert simulation.scheduler.pool.free == 8
    assert not simulation.scheduler.schedule(8).work


def test_steps_are_bounded_by_the_oldest_first_order() -> None:
    """Nobody overtakes for good: sequences with equal work finish in the order in which they came."""
    simulation = Simulation(make_scheduler(12, max_sequences=4))
    for number in range(12):
        simulation.scheduler.add(make_sequence(number, 9, output=6))
    simulation.run()
    assert [sequence.number for sequence in simulation.finished] == list(range(12))


# None, the fewest with which a model with states runs, and numbers with which snapshots come and go.
states = st.sampled_from([0, 2, 3, 5, 12, 100])
shapes = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 24)), min_size=1, max_size=20)


# Drafts are for models without states.
drafts = st.tuples(st.just(0), st.randoms(use_true_random=False).map(Guesses))
slots_or_drafts = st.tuples(states, st.none()) | drafts


@given(shapes, st.integers(1, 40), st.integers(1, 16), st.booleans(), slots_or_drafts)
@settings(deadline=None)
def test_a_pool_of_a_quarter_of_the_demand_completes_everything(
    shapes: list[tuple[int, int]],
    chunk: int,
    max_sequences: int,
    prefix_cache: bool,
    slots_or_drafts: tuple[int, Guesses | None],
) -> None:
    needs = [-(-(prompt + output) // BLOCK) for prompt, output in shapes]
    blocks = max(*needs, sum(needs) // 4)
    scheduler = make_scheduler(
        blocks,
        max_sequences=max_sequences,
        prefix_cache=prefix_cache,
        states=slots_or_drafts[0],
        speculation=slots_or_drafts[1],
    )
    simulation = Simulation(scheduler, prefill_chunk=chunk)
    for number, (prompt, output) in enumerate(shapes):
        scheduler.add(make_sequence(number, prompt, output))
    simulation.run()
    assert len(simulation.finished) == len(shapes)
    assert scheduler.pool.used == 0
    for sequence, (prompt, output) in zip(sorted(simulation.finished, key=lambda s: s.number), shapes, strict=True):
        expected = [sequence.number * 1000 + i for i in range(prompt)]
        while len(expected) < prompt + output:
            expected.append(next_token(expected))
        assert sequence.tokens == expected


@given(st.randoms(use_true_random=False), st.integers(8, 40), st.booleans(), slots_or_drafts, st.integers(1, 3))
@settings(deadline=None)
def test_no_block_or_slot_is_lost_whatever_happens(
    chance: random.Random,
    blocks: int,
    prefix_cache: bool,
    slots_or_drafts: tuple[int, Guesses | None],
    snapshot_blocks: int,
) -> None:
    simulation = Simulation(
        make_scheduler(
            blocks,
            max_sequences=5,
            prefix_cache=prefix_cache,
            states=slots_or_drafts[0],
            snapshot_blocks=snapshot_blocks,
            speculation=slots_or_drafts[1],
        )
    )
    scheduler, live = simulation.scheduler, list[Sequence]()
    for number in range(60):
        if chance.random() < 0.5:
            # Few token ids and few lengths, so that prefixes meet.
            prompt = [chance.randrange(2) for _ in range(chance.choice([1, 4, 8, 9, 17]))]
            live.append(make_sequence(number, prompt, chance.randrange(1, 12)))
            scheduler.add(live[-1])
        if live and chance.random() < 0.3:
            scheduler.remove(live.pop(chance.randrange(len(live))))
        if scheduler.running or scheduler.waiting:
            simulation.step()
        scheduler.check()
    simulation.run()
    assert scheduler.pool.available == blocks
