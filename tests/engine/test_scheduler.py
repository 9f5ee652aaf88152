"""The scheduler against a stand-in for model and sampler: random sequences of events, and what must hold after each."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.engine.scheduler import Scheduler
from freehold.engine.sequence import Sequence, Step
from freehold.engine.types import SamplingOptions
from freehold.errors import ContextExceeded

BLOCK = 4


def _scheduler(blocks: int, *, max_sequences: int = 16, prefix_cache: bool = True) -> Scheduler:
    return Scheduler(blocks=blocks, block_size=BLOCK, max_sequences=max_sequences, prefix_cache=prefix_cache)


def _sequence(number: int, prompt: int | list[int], output: int = 4) -> Sequence:
    tokens = [number * 1000 + i for i in range(prompt)] if isinstance(prompt, int) else list(prompt)
    return Sequence(
        number=number,
        tokens=tokens,
        prompt_length=len(tokens),
        limit=len(tokens) + output,
        sampling=SamplingOptions(seed=0),
    )


def _next_token(tokens: list[int]) -> int:
    return hash(tuple(tokens)) % 1000


@dataclass
class Simulation:
    """Runs steps, checks them, and ends sequences at their limit."""

    scheduler: Scheduler
    prefill_chunk: int = 8
    finished: list[Sequence] = field(default_factory=list)
    cells: dict[tuple[int, int], int] = field(default_factory=dict)  # (block, offset) -> token id

    def step(self) -> Step:
        scheduler = self.scheduler
        step = scheduler.schedule(self.prefill_chunk)
        assert bool(step.work) == bool(scheduler.running), "no progress"
        self._check(step)
        drawing = [work.sequence for work in step.work if work.draws]
        scheduler.commit(step, [_next_token(sequence.tokens) for sequence in drawing])
        for sequence in drawing:
            if len(sequence.tokens) == sequence.limit:
                scheduler.remove(sequence)
                self.finished.append(sequence)
        scheduler.check()
        return step

    def run(self) -> int:
        """Until everything is finished; the number of steps."""
        steps = 0
        while self.scheduler.running or self.scheduler.waiting:
            self.step()
            steps += 1
            assert steps < 10_000, "no end"
        return steps

    def _check(self, step: Step) -> None:
        """Each position is written to a block of its own, and everything before it reads back as it was written."""
        written: set[tuple[int, int]] = set()
        for work in step.work:
            sequence = work.sequence
            for position in range(sequence.computed, sequence.computed + work.count):
                cell = (sequence.blocks[position // BLOCK], position % BLOCK)
                assert cell not in written
                written.add(cell)
                self.cells[cell] = sequence.tokens[position]
            for position in range(sequence.computed + work.count):
                assert self.cells[(sequence.blocks[position // BLOCK], position % BLOCK)] == sequence.tokens[position]


def test_a_prompt_is_computed_in_chunks_and_then_decoded() -> None:
    simulation = Simulation(_scheduler(16))
    sequence = _sequence(0, 19, output=3)
    simulation.scheduler.add(sequence)
    counts = []
    while not simulation.finished:
        counts.append([work.count for work in simulation.step().work])
    assert counts == [[8], [8], [3], [1], [1]]
    assert sequence.generated == 3


def test_decoding_goes_on_while_a_prompt_is_computed() -> None:
    simulation = Simulation(_scheduler(32))
    simulation.scheduler.add(_sequence(0, 2, output=8))
    simulation.step()
    simulation.scheduler.add(_sequence(1, 16))
    assert [(work.sequence.number, work.count) for work in simulation.step().work] == [(0, 1), (1, 8)]
    assert [(work.sequence.number, work.count) for work in simulation.step().work] == [(0, 1), (1, 8)]


def test_prompts_share_the_chunk_oldest_first() -> None:
    simulation = Simulation(_scheduler(32))
    for number in range(3):
        simulation.scheduler.add(_sequence(number, 6))
    assert [(work.sequence.number, work.count) for work in simulation.step().work] == [(0, 6), (1, 2)]
    assert [(work.sequence.number, work.count) for work in simulation.step().work] == [(0, 1), (1, 4), (2, 4)]


def test_no_more_run_than_allowed() -> None:
    simulation = Simulation(_scheduler(32, max_sequences=2))
    for number in range(3):
        simulation.scheduler.add(_sequence(number, 1))
    simulation.step()
    assert (len(simulation.scheduler.running), len(simulation.scheduler.waiting)) == (2, 1)


def test_a_second_request_takes_the_prefix_from_the_cache() -> None:
    simulation = Simulation(_scheduler(32))
    prompt = list(range(14))
    simulation.scheduler.add(_sequence(0, prompt))
    simulation.run()
    second = _sequence(1, [*prompt, 99])
    simulation.scheduler.add(second)
    assert [work.count for work in simulation.step().work] == [3]
    assert second.cached == 12


def test_generated_tokens_become_part_of_a_prefix() -> None:
    simulation = Simulation(_scheduler(32))
    first = _sequence(0, 6, output=8)
    simulation.scheduler.add(first)
    simulation.run()
    second = _sequence(1, [*first.tokens, 5])
    simulation.scheduler.add(second)
    simulation.step()
    assert second.cached == 12  # 14 tokens, the last of which was never computed: three full blocks


def test_without_prefix_cache_nothing_is_kept() -> None:
    simulation = Simulation(_scheduler(32, prefix_cache=False))
    for number in range(2):
        simulation.scheduler.add(_sequence(number, list(range(10))))
        simulation.run()
    assert [sequence.cached for sequence in simulation.finished] == [0, 0]
    assert simulation.scheduler.pool.free == 32


def test_identical_prompts_at_once_end_up_on_the_same_blocks() -> None:
    simulation = Simulation(_scheduler(32), prefill_chunk=64)
    for number in range(4):
        simulation.scheduler.add(_sequence(number, list(range(9))))
    simulation.step()
    assert len({tuple(sequence.blocks[:2]) for sequence in simulation.scheduler.running}) == 1


def test_the_youngest_is_preempted_and_keeps_what_it_generated() -> None:
    simulation = Simulation(_scheduler(6, prefix_cache=False))
    old, young = _sequence(0, 7, output=14), _sequence(1, 7, output=6)
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
    simulation = Simulation(_scheduler(4, prefix_cache=False))
    old, new = _sequence(0, 4, output=8), _sequence(1, 11, output=1)
    simulation.scheduler.add(old)
    simulation.step()
    simulation.scheduler.add(new)
    simulation.step()
    assert list(simulation.scheduler.waiting) == [new]  # three blocks are free, but the old one needs a second soon
    simulation.run()
    assert simulation.scheduler.preemptions == 0


def test_what_cannot_fit_alone_is_refused_with_both_counts() -> None:
    scheduler = _scheduler(4)
    scheduler.add(_sequence(0, 12, output=4))
    with pytest.raises(ContextExceeded, match=r"17 .* 16"):
        scheduler.add(_sequence(1, 13, output=4))


def test_removing_frees_at_once_wherever_the_sequence_is() -> None:
    simulation = Simulation(_scheduler(8, max_sequences=1, prefix_cache=False))
    running, waiting = _sequence(0, 20), _sequence(1, 4)
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
    simulation = Simulation(_scheduler(12, max_sequences=4))
    for number in range(12):
        simulation.scheduler.add(_sequence(number, 9, output=6))
    simulation.run()
    assert [sequence.number for sequence in simulation.finished] == list(range(12))


shapes = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 24)), min_size=1, max_size=20)


@given(shapes, st.integers(1, 40), st.integers(1, 16), st.booleans())
@settings(deadline=None)
def test_a_pool_of_a_quarter_of_the_demand_completes_everything(
    shapes: list[tuple[int, int]], chunk: int, max_sequences: int, prefix_cache: bool
) -> None:
    needs = [-(-(prompt + output) // BLOCK) for prompt, output in shapes]
    blocks = max(*needs, sum(needs) // 4)
    scheduler = _scheduler(blocks, max_sequences=max_sequences, prefix_cache=prefix_cache)
    simulation = Simulation(scheduler, prefill_chunk=chunk)
    for number, (prompt, output) in enumerate(shapes):
        scheduler.add(_sequence(number, prompt, output))
    simulation.run()
    assert len(simulation.finished) == len(shapes)
    assert scheduler.pool.used == 0
    for sequence, (prompt, output) in zip(sorted(simulation.finished, key=lambda s: s.number), shapes, strict=True):
        expected = [sequence.number * 1000 + i for i in range(prompt)]
        while len(expected) < prompt + output:
            expected.append(_next_token(expected))
        assert sequence.tokens == expected


@given(st.randoms(use_true_random=False), st.integers(8, 40), st.booleans())
@settings(deadline=None)
def test_no_block_is_lost_whatever_happens(chance: random.Random, blocks: int, prefix_cache: bool) -> None:
    simulation = Simulation(_scheduler(blocks, max_sequences=5, prefix_cache=prefix_cache))
    scheduler, live = simulation.scheduler, list[Sequence]()
    for number in range(60):
        if chance.random() < 0.5:
            # Few token ids and few lengths, so that prefixes meet.
            prompt = [chance.randrange(2) for _ in range(chance.choice([1, 4, 8, 9, 17]))]
            live.append(_sequence(number, prompt, chance.randrange(1, 12)))
            scheduler.add(live[-1])
        if live and chance.random() < 0.3:
            scheduler.remove(live.pop(chance.randrange(len(live))))
        if scheduler.running or scheduler.waiting:
            simulation.step()
        scheduler.check()
    simulation.run()
    assert scheduler.pool.available == blocks
