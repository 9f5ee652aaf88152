"""A stand-in for model and sampler that runs a scheduler's steps and checks each."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from dataclasses import dataclass, field
from random import Random

from freehold.engine.drafts import Draft, Room
from freehold.engine.row_costs import RowCosts
from freehold.engine.scheduler import Scheduler
from freehold.engine.sequence import NO_SLOT, Sequence, Step, Work
from freehold.engine.speculation import Speculation
from freehold.engine.types import SamplingOptions

BLOCK = 4
UNWRITTEN = -1


def make_scheduler(
    blocks: int,
    *,
    max_sequences: int = 16,
    prefix_cache: bool = True,
    states: int = 0,
    snapshot_blocks: int = 8,
    speculation: Speculation | None = None,
) -> Scheduler:
    return Scheduler(
        blocks=blocks,
        block_size=BLOCK,
        max_sequences=max_sequences,
        prefix_cache=prefix_cache,
        states=states,
        snapshot_positions=snapshot_blocks * BLOCK,
        speculation=speculation,
    )


def make_sequence(number: int, prompt: int | list[int], output: int = 4) -> Sequence:
    tokens = [number * 1000 + i for i in range(prompt)] if isinstance(prompt, int) else list(prompt)
    return Sequence(
        number=number,
        tokens=tokens,
        prompt_length=len(tokens),
        limit=len(tokens) + output,
        sampling=SamplingOptions(seed=0),
    )


def next_token(tokens: list[int]) -> int:
    return hash(tuple(tokens)) % 1000


def drawn(work: Work) -> list[int]:
    """What the sampler draws: the model's tokens as far as the draft has them, and the one after them."""
    tokens, new = list(work.sequence.tokens), list[int]()
    for guess in (*work.draft, None):
        new.append(next_token(tokens))
        tokens.append(new[-1])
        if new[-1] != guess:
            break
    return new


def fitting(sequence: Sequence, tokens: tuple[int, ...], room: Room) -> Draft:
    """As much of a draft as there is room for."""
    return Draft(tokens[: room(sequence, len(tokens))])


class Guesses(Speculation):
    """Drafts of random lengths, of which a random part from the beginning is right."""

    def __init__(self, chance: Random) -> None:
        super().__init__(RowCosts(), ())
        self._chance = chance

    def drafts(self, sequences: Listing[Sequence], room: Room) -> list[Draft]:
        return [fitting(sequence, self._draft(sequence), room) for sequence in sequences]

    def _draft(self, sequence: Sequence) -> tuple[int, ...]:
        most = min(11, sequence.limit - len(sequence.tokens) - 1)
        length = self._chance.randint(0, most)
        right, draft = self._chance.randint(0, length), list[int]()
        for index in range(length):
            token = next_token([*sequence.tokens, *draft])
            draft.append(token if index < right else token + 1)
        return tuple(draft)


@dataclass
class Simulation:
    """Runs steps, checks them, and ends sequences at their limit."""

    scheduler: Scheduler
    prefill_chunk: int = 8
    finished: list[Sequence] = field(default_factory=list)
    cells: dict[tuple[int, int], int] = field(default_factory=dict)  # (block, offset) -> token id
    states: dict[int, list[int]] = field(default_factory=dict)  # slot -> the tokens that the state has seen

    def step(self) -> Step:
        scheduler = self.scheduler
        step = scheduler.schedule(self.prefill_chunk)
        assert bool(step.work) == bool(scheduler.running), "no progress"
        self._check(step)
        self._check_states(step)
        drawing = [work.sequence for work in step.work if work.draws]
        scheduler.commit(step, [drawn(work) for work in step.work if work.draws])
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
        sources = {work.copy.source for work in step.work if work.copy is not None}
        for work in step.work:
            if work.copy is not None:
                for offset in range(BLOCK):
                    self.cells[work.copy.target, offset] = self.cells.get((work.copy.source, offset), UNWRITTEN)
        for work in step.work:
            sequence = work.sequence
            tokens = [*sequence.tokens[: sequence.computed + work.count], *work.draft]
            assert len(sequence.tokens) + len(work.draft) < sequence.limit or not work.draft
            for position in range(sequence.computed, len(tokens)):
                cell = (sequence.blocks[position // BLOCK], position % BLOCK)
                assert cell not in written
                assert cell[0] not in sources, "what a step copies it must not write, for it may have to be run again"
                written.add(cell)
                self.cells[cell] = tokens[position]
            for position in range(sequence.computed + work.count):
                assert self.cells[(sequence.blocks[position // BLOCK], position % BLOCK)] == sequence.tokens[position]

    def _check_states(self, step: Step) -> None:
        """Each state goes on from what its sequence has computed, and nobody's is written over."""
        reads, writes = set[int](), list[int]()
        for work in step.work:
            if work.slots is None:
                continue
            computed = work.sequence.computed
            seen = self.states[work.slots.read] if work.slots.read != NO_SLOT else []
            assert seen == work.sequence.tokens[:computed]
            reads.add(work.slots.read)
            writes.append(work.slots.write)
        assert len(set(writes)) == len(writes)
        assert not reads & set(writes), "what a step reads it must not write, for it may have to be run again"
        for work in step.work:
            if work.slots is not None:
                self.states[work.slots.write] = work.sequence.tokens[: work.sequence.computed + work.count]
