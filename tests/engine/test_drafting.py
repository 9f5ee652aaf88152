"""The scheduler with drafts: their blocks, what is taken over of them, and what is left behind by the rest."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from random import Random

import pytest

from freehold.engine.drafts import Draft, Room
from freehold.engine.row_costs import RowCosts
from freehold.engine.sequence import Sequence
from freehold.engine.speculation import Speculation
from tests.engine.simulation import Guesses, Simulation, fitting, make_scheduler, make_sequence, next_token


class Fixed(Speculation):
    """Drafts of a length, of which a number of tokens from the beginning are right."""

    def __init__(self, length: int, right: int) -> None:
        super().__init__(RowCosts(), ())
        self.length, self.right = length, right

    def drafts(self, sequences: Listing[Sequence], room: Room) -> list[Draft]:
        return [fitting(sequence, self._draft(sequence), room) for sequence in sequences]

    def _draft(self, sequence: Sequence) -> tuple[int, ...]:
        tokens = list(sequence.tokens)
        for index in range(min(self.length, sequence.limit - len(tokens) - 1)):
            tokens.append(next_token(tokens) + (index >= self.right))
        return tuple(tokens[len(sequence.tokens) :])


def _generated(simulation: Simulation) -> list[list[int]]:
    return [sequence.tokens for sequence in sorted(simulation.finished, key=lambda one: one.number)]


def test_accepted_tokens_save_steps() -> None:
    simulation = Simulation(make_scheduler(16, speculation=Fixed(4, 3)))
    simulation.scheduler.add(make_sequence(0, 5, output=13))
    steps = []
    while not simulation.finished:
        (work,) = simulation.step().work
        steps.append((work.count, len(work.draft)))
    assert steps == [(5, 0), (1, 4), (1, 4), (1, 3)]  # 1, 4, 4 and 4 tokens; the last step may not draw more than 4
    assert (simulation.scheduler.drafted["lookup"], simulation.scheduler.accepted["lookup"]) == (11, 9)


def test_a_step_with_a_prompt_has_no_drafts() -> None:
    simulation = Simulation(make_scheduler(32, speculation=Fixed(4, 4)))
    simulation.scheduler.add(make_sequence(0, 2, output=30))
    simulation.step()
    simulation.scheduler.add(make_sequence(1, 16))
    assert [(work.count, len(work.draft)) for work in simulation.step().work] == [(1, 0), (8, 0)]
    assert [(work.count, len(work.draft)) for work in simulation.step().work] == [(1, 0), (8, 0)]
    assert [(work.count, len(work.draft)) for work in simulation.step().work] == [(1, 4), (1, 2)]


def test_blocks_of_rejected_tokens_are_given_back_at_once() -> None:
    simulation = Simulation(make_scheduler(8, prefix_cache=False, speculation=Fixed(11, 0)))
    sequence = make_sequence(0, 3, output=20)
    simulation.scheduler.add(sequence)
    simulation.step()
    step = simulation.scheduler.schedule(8)
    (work,) = step.work
    assert (len(work.draft), len(sequence.blocks)) == (11, 4)
    simulation.scheduler.commit(step, [[next_token(sequence.tokens)]])
    assert len(sequence.blocks) == 2


def test_drafts_take_only_blocks_that_nobody_has() -> None:
    simulation = Simulation(make_scheduler(4, prefix_cache=False, speculation=Fixed(9, 9)))
    for number in range(2):
        simulation.scheduler.add(make_sequence(number, 3, output=12))
    simulation.step()
    assert [len(work.draft) for work in simulation.step().work] == [8, 0]  # of nine, up to the end of the last block
    simulation.run()
    plain = Simulation(make_scheduler(4, prefix_cache=False))
    for number in range(2):
        plain.scheduler.add(make_sequence(number, 3, output=12))
    plain.run()
    assert _generated(simulation) == _generated(plain)
    assert simulation.scheduler.preemptions <= plain.scheduler.preemptions


@pytest.mark.parametrize("right", range(6))
def test_rejected_tokens_are_nobodys_prefix(right: int) -> None:
    simulation = Simulation(make_scheduler(64, speculation=Fixed(5, right)))
    first = make_sequence(0, 6, output=20)
    simulation.scheduler.add(first)
    simulation.run()
    second = make_sequence(1, [*first.tokens, 5])
    simulation.scheduler.add(second)
    simulation.step()  # reads back what is in the blocks
    assert second.cached is not None
    assert 20 <= second.cached <= 25
    assert first.tokens[: second.cached] == second.tokens[: second.cached]


def test_a_sequence_that_goes_between_schedule_and_commit_leaves_nothing() -> None:
    simulation = Simulation(make_scheduler(16, speculation=Fixed(9, 2)))
    sequence = make_sequence(0, 5, output=20)
    simulation.scheduler.add(sequence)
    simulation.step()
    simulation.scheduler.schedule(8)
    simulation.scheduler.remove(sequence)
    simulation.scheduler.check()
    assert simulation.scheduler.pool.used == 0


def test_models_with_states_are_not_for_drafts() -> None:
    with pytest.raises(AssertionError, match="state"):
        make_scheduler(8, states=4, speculation=Guesses(Random(0)))
