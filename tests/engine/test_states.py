"""States of models that keep something per sequence: snapshots, where prompts are cut, and what is let go when."""

from __future__ import annotations

import pytest

from freehold.engine.scheduler import Scheduler
from freehold.engine.sequence import NO_SLOT, Slots
from freehold.engine.states import StatePool
from tests.engine.simulation import Simulation, make_scheduler, make_sequence


def _states(scheduler: Scheduler) -> StatePool:
    states = scheduler._states
    assert isinstance(states, StatePool)
    return states


def _counts(simulation: Simulation) -> list[list[int]]:
    """Tokens of each piece of work of each step, until everything is finished."""
    counts = []
    while simulation.scheduler.running or simulation.scheduler.waiting:
        counts.append([work.count for work in simulation.step().work])
    return counts


def test_models_without_states_get_no_slots() -> None:
    simulation = Simulation(make_scheduler(8))
    simulation.scheduler.add(make_sequence(0, 5))
    assert [work.slots for work in simulation.step().work] == [None]


def test_a_step_reads_one_slot_and_writes_another() -> None:
    simulation = Simulation(make_scheduler(8, states=2))
    simulation.scheduler.add(make_sequence(0, 3))
    first, second, third = (simulation.step().work[0].slots for _ in range(3))
    assert first is not None
    assert (first.read, first.write) == (NO_SLOT, first.write)
    assert second == Slots(first.write, 1 - first.write)
    assert third == Slots(1 - first.write, first.write)


def test_prompts_are_cut_where_their_last_full_block_ends_and_at_every_interval() -> None:
    simulation = Simulation(make_scheduler(32, states=16, snapshot_blocks=3), prefill_chunk=100)
    simulation.scheduler.add(make_sequence(0, 31, output=2))
    assert _counts(simulation) == [[12], [12], [4], [3], [1]]


def test_without_prefix_cache_prompts_are_not_cut() -> None:
    simulation = Simulation(make_scheduler(32, states=16, snapshot_blocks=3, prefix_cache=False), prefill_chunk=100)
    simulation.scheduler.add(make_sequence(0, 31, output=2))
    assert _counts(simulation) == [[31], [1]]


def test_a_prefix_is_taken_only_as_far_as_there_is_a_snapshot() -> None:
    simulation = Simulation(make_scheduler(32, states=16, snapshot_blocks=2), prefill_chunk=100)
    prompt = list(range(23))
    simulation.scheduler.add(make_sequence(0, prompt, output=1))
    simulation.run()
    whole, beginning = make_sequence(1, [*prompt, 99]), make_sequence(2, [*prompt[:15], 99])
    for sequence in (whole, beginning):
        simulation.scheduler.add(sequence)
        simulation.run()
    # Blocks are known up to 20 and 12; snapshots were taken at 8, 16 and 20, the end of the prompt's last block.
    assert (whole.cached, beginning.cached) == (20, 8)


def test_where_two_prompts_part_the_second_leaves_a_snapshot_for_the_third() -> None:
    simulation = Simulation(make_scheduler(64, states=16, snapshot_blocks=100), prefill_chunk=100)
    shared = list(range(12))
    sequences = [make_sequence(number, [*shared, *range(100 * number, 100 * number + 9)]) for number in (1, 2, 3)]
    for sequence in sequences:
        simulation.scheduler.add(sequence)
        simulation.run()
    assert [sequence.cached for sequence in sequences] == [0, 0, 12]


def test_generated_tokens_leave_snapshots_at_every_interval() -> None:
    simulation = Simulation(make_scheduler(64, states=16, snapshot_blocks=4), prefill_chunk=100)
    first = make_sequence(0, 6, output=30)
    simulation.scheduler.add(first)
    simulation.run()
    second = make_sequence(1, [*first.tokens, 5])
    simulation.scheduler.add(second)
    simulation.run()
    assert second.cached == 32


def test_snapshots_give_way_to_those_that_run_and_the_least_recently_used_first() -> None:
    simulation = Simulation(make_scheduler(64, states=4, snapshot_blocks=100), prefill_chunk=100)
    prompts = [list(range(100 * number, 100 * number + 9)) for number in range(4)]
    for number, prompt in enumerate(prompts):
        simulation.scheduler.add(make_sequence(number, prompt, output=3))
        simulation.run()
    again = [make_sequence(4 + number, [*prompt, 7], output=1) for number, prompt in enumerate(prompts)]
    assert [_states(simulation.scheduler).pool.idle, _states(simulation.scheduler).pool.free] == [2, 2]
    for sequence in reversed(again):
        simulation.scheduler.add(sequence)
        simulation.run()
    assert [sequence.cached for sequence in again] == [0, 0, 8, 8]
    # The blocks of the first are still known; only its state had to be computed again.
    assert simulation.scheduler.pool.idle == 8


def test_no_more_run_than_have_two_slots_each() -> None:
    simulation = Simulation(make_scheduler(64, states=5))
    for number in range(3):
        simulation.scheduler.add(make_sequence(number, 2))
    simulation.step()
    assert (len(simulation.scheduler.running), len(simulation.scheduler.waiting)) == (2, 1)
    simulation.run()
    assert simulation.scheduler.preemptions == 0


def test_removing_gives_slots_back_at_once() -> None:
    simulation = Simulation(make_scheduler(64, states=4, prefix_cache=False), prefill_chunk=100)
    scheduler, pool = simulation.scheduler, _states(simulation.scheduler).pool
    first, second = make_sequence(0, 20), make_sequence(1, 2)
    scheduler.add(first)
    scheduler.add(second)
    simulation.step()
    scheduler.remove(first)
    scheduler.check()
    step = scheduler.schedule(8)  # and between a step's decision and its end, when it fails
    assert pool.used == 2
    scheduler.remove(step.work[0].sequence)
    scheduler.check()
    assert pool.free == 4


def test_the_preempted_goes_on_from_its_latest_snapshot() -> None:
    simulation = Simulation(make_scheduler(10, states=12, snapshot_blocks=1), prefill_chunk=100)
    sequences = [make_sequence(number, 7, output) for number, output in enumerate((7, 20, 14))]
    for sequence in sequences:
        simulation.scheduler.add(sequence)
    while simulation.scheduler.preemptions == 0:
        assert simulation.step().work
    youngest = sequences[2]
    assert (youngest.slot, youngest.next_slot, youngest.computed) == (NO_SLOT, NO_SLOT, 0)
    while youngest not in simulation.scheduler.running:
        latest = simulation.step().work[-1]
    assert latest.sequence is youngest
    assert latest.slots is not None
    assert latest.slots.read != NO_SLOT
    assert youngest.computed - latest.count == 8
    simulation.run()
    assert [len(sequence.tokens) for sequence in sequences] == [14, 27, 21]


def test_a_snapshot_goes_with_its_block() -> None:
    simulation = Simulation(make_scheduler(4, states=8, snapshot_blocks=1), prefill_chunk=100)
    pool = _states(simulation.scheduler).pool
    simulation.scheduler.add(make_sequence(0, 12, output=1))
    simulation.run()
    assert pool.idle == 3
    simulation.scheduler.add(make_sequence(1, 15, output=1))
    simulation.run()
    assert pool.idle == 3
    assert pool.free == 5


def test_check_notices_a_snapshot_that_nobody_knows_of() -> None:
    simulation = Simulation(make_scheduler(8, states=4, snapshot_blocks=1))
    simulation.scheduler.add(make_sequence(0, 9, output=1))
    simulation.run()
    _states(simulation.scheduler)._slots.clear()
    with pytest.raises(AssertionError, match="snapshot"):
        simulation.scheduler.check()


def test_check_notices_a_state_that_is_lost() -> None:
    simulation = Simulation(make_scheduler(8, states=4))
    sequence = make_sequence(0, 9)
    simulation.scheduler.add(sequence)
    simulation.step()
    sequence.slot = NO_SLOT
    with pytest.raises(AssertionError, match=r"block \d: 1 != 0"):
        simulation.scheduler.check()
