"""Decides who runs. Plain Python over counts and block numbers: no arrays, no threads, no clock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence as Listing
from dataclasses import replace

from freehold.engine.blocks import BlockPool
from freehold.engine.prefix import Parent, PrefixTree
from freehold.engine.sequence import Copy, Sequence, Step, Work
from freehold.engine.speculation import Speculation
from freehold.engine.states import StatePool, States
from freehold.engine.types import DraftSource
from freehold.errors import ContextExceeded

# Positions between two snapshots of a state, which takes as much room as hundreds of positions do.
SNAPSHOT_POSITIONS = 1024


class Scheduler:
    """A queue of waiting sequences and a list of running ones, both oldest first.

    Every running sequence that decodes gets its one token in each step; prompts share a number of tokens, the oldest
    first. A sequence is admitted when there are blocks for all its tokens so far. When a decoding one needs
    a block and none is left, the youngest gives all of its blocks back and returns to the head of the queue; what it
    generated is kept and computed again later. The oldest therefore always advances, and everyone finishes.

    Args:
        blocks: cache blocks there are.
        block_size: positions per block.
        max_sequences: most sequences running.
        prefix_cache: whether computed blocks are found again by later sequences.
        states: slots for the states of a model that keeps something per sequence, at least 2; 0 for other models.
        snapshot_positions: as SNAPSHOT_POSITIONS.
        speculation: drafts tokens for sequences that decode; None for no drafts, as a model with states must have it.

    Attributes:
        drafted, accepted: tokens of all drafts, by their source, and those of them that were drawn.
    """

    def __init__(
        self,
        *,
        blocks: int,
        block_size: int,
        max_sequences: int,
        prefix_cache: bool,
        states: int = 0,
        snapshot_positions: int = SNAPSHOT_POSITIONS,
        speculation: Speculation | None = None,
    ) -> None:
        assert speculation is None or not states, "a state cannot give back the tokens of a rejected draft"
        self.pool = BlockPool(blocks)
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.preemptions = 0
        self.drafted: Counter[DraftSource] = Counter()
        self.accepted: Counter[DraftSource] = Counter()
        self._speculation = speculation
        if speculation is not None:
            self.pool.on_renew(speculation.renewed)
        self._block_size = block_size
        interval = max(1, snapshot_positions // block_size) if prefix_cache else None
        self._states = StatePool(states, block_size, interval) if states else States()
        self._max_sequences = self._states.most_running(max_sequences)
        self._tree = PrefixTree(self.pool, block_size, self._states.forget) if prefix_cache else None
        # The same, where a sequence can go on from the middle of a block; a state is that of the end of one.
        self._parts = None if states else self._tree

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; its number must be above those of all before it.

        Raises:
            ContextExceeded: it would not fit even if it were alone.
        """
        capacity = self.pool.count * self._block_size
        if sequence.limit > capacity:
            raise ContextExceeded(
                f"prompt and output together may reach {sequence.limit} tokens; the cache holds {capacity}",
                hint="lower max_tokens, or raise cache_tokens",
            )
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence, wherever it is, and take its blocks back at once."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._release(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def schedule(self, prefill_chunk: int) -> Step:
        """Decide on the next step and get the blocks for it. Empty only if there is no sequence at all.

        Args:
            prefill_chunk: most prompt tokens in it, at least 1.
        """
        work: list[Work] = []
        budget = prefill_chunk
        # A sequence that is pre-empted leaves at the end of the list, where this has not come yet.
        for sequence in self.running:
            if not self._make_room(sequence):
                break
            count = self._share(sequence, budget)
            budget -= _cost(sequence, count)
            if count:
                work.append(self._work(sequence, count))
        while self.waiting and budget > 0 and self._admit(self.waiting[0]):
            sequence = self.waiting.popleft()
            self.running.append(sequence)
            count = self._share(sequence, budget)
            budget -= _cost(sequence, count)
            work.append(self._work(sequence, count))
        return self._with_drafts(Step(tuple(work)))

    def commit(self, step: Step, drawn: Listing[Listing[int]]) -> None:
        """Take note of a step's results.

        Args:
            drawn: the new tokens of each piece of work that draws, in the step's order: the accepted ones of its draft,
                and the one after them.
        """
        tokens = iter(drawn)
        for work in step.work:
            sequence, new = work.sequence, next(tokens) if work.draws else ()
            accepted = max(0, len(new) - 1)
            self.drafted[work.source] += len(work.draft)
            self.accepted[work.source] += accepted
            sequence.computed += work.count + accepted
            sequence.tokens.extend(new)
            self._drop_copy(sequence)
            self._register(sequence)
            self._states.advance(sequence)
            self._shrink(sequence)

    def check(self) -> None:
        """Verify that no block or slot is lost or has two owners, and that both lists are in order.

        Raises:
            AssertionError: naming what is wrong.
        """
        sources = [sequence.copy.source for sequence in self.running if sequence.copy is not None]
        self.pool.check([*sources, *(block for sequence in self.running for block in sequence.blocks)])
        if self._tree is not None:
            self._tree.check()
        self._states.check(self.running, self._tree.known if self._tree is not None else ())
        numbers = [sequence.number for sequence in (*self.running, *self.waiting)]
        assert numbers == sorted(set(numbers)), f"out of order: {numbers}"
        assert all(not sequence.blocks for sequence in self.waiting), "a waiting sequence holds blocks"
        for sequence in self.running:
            assert len(sequence.blocks) <= self._blocks_for(len(sequence.tokens)), "a rejected draft holds blocks"
            assert sequence.computed < len(sequence.tokens), "nothing is left from which to draw"

    def _work(self, sequence: Sequence, count: int) -> Work:
        return Work(sequence, count, self._states.take(sequence), sequence.copy)

    def _share(self, sequence: Sequence, budget: int) -> int:
        """How many of its tokens a sequence may compute. A single one is free, so decoding never waits for prompts."""
        return self._states.share(sequence, 1 if sequence.remaining == 1 else min(sequence.remaining, budget))

    def _with_drafts(self, step: Step) -> Step:
        """The step with drafts, as far as there are blocks for them without taking any from a running sequence.

        A step that computes prompts is left as it is: it is no longer the number of rows that its cost depends on.
        """
        if self._speculation is None or not step.decodes:
            return step
        drafts = self._speculation.drafts([work.sequence for work in step.work], self._draft_room)
        return Step(
            tuple(
                replace(work, draft=draft.tokens, source=draft.source) if draft.tokens else work
                for work, draft in zip(step.work, drafts, strict=True)
            )
        )

    def _draft_room(self, sequence: Sequence, count: int) -> int:
        """Get the blocks for a draft, as far as there are any; the sequence holds them until the step is done."""
        length = len(sequence.tokens)
        room = (len(sequence.blocks) + self.pool.available) * self._block_size - length
        count = min(count, room)
        self._grow(sequence, length + count)
        return count

    def _admit(self, sequence: Sequence) -> bool:
        """Get blocks for all tokens of a waiting sequence, known ones where possible; False if there are too few."""
        if len(self.running) >= self._max_sequences:
            return False
        matched = self._tree.match(sequence.tokens, sequence.salt) if self._tree is not None else []
        known = self._states.usable(matched)
        needed = self._blocks_for(len(sequence.tokens)) - len(known)
        needed += sum(self.pool.is_idle(block) for block in known)
        # One block in reserve for each running sequence: otherwise the newcomer would be pre-empted straight away.
        spare = self.pool.available - needed - len(self.running)
        if spare < 0:
            return False
        for block in known:
            self.pool.hold(block)
        sequence.blocks.extend(known)
        sequence.registered = len(known)
        sequence.computed = len(known) * self._block_size
        self._states.begin(sequence, len(matched))
        self._grow_from_copy(sequence, spare)
        if sequence.cached is None:
            sequence.cached = sequence.computed
        return True

    def _grow_from_copy(self, sequence: Sequence, spare: int) -> None:
        """Get an admitted sequence the blocks for its tokens. What begins like the first of them is copied into it, if
        there is a block to spare where holding that, too, takes one."""
        first, found = len(sequence.blocks), None
        if self._parts is not None:
            found = self._parts.nearest(_parent(sequence, first), sequence.tokens[sequence.computed : -1])
        if found is None or (self.pool.is_idle(found[0]) and not spare):
            self._grow(sequence, len(sequence.tokens))
            return
        source, count = found
        self.pool.hold(source)
        self._grow(sequence, len(sequence.tokens))
        sequence.copy = Copy(source, sequence.blocks[first])
        sequence.computed += count

    def _drop_copy(self, sequence: Sequence) -> None:
        """It was done, or will not be."""
        if sequence.copy is not None:
            self.pool.release(sequence.copy.source)
            sequence.copy = None

    def _make_room(self, sequence: Sequence) -> bool:
        """Get a running sequence the blocks for its tokens, from the youngest if need be; False if that is itself."""
        missing = self._blocks_for(len(sequence.tokens)) - len(sequence.blocks)
        while missing > self.pool.available:
            youngest = self.running.pop()
            self._release(youngest)
            self.waiting.appendleft(youngest)
            self.preemptions += 1
            if youngest is sequence:
                return False
        self._grow(sequence, len(sequence.tokens))
        return True

    def _grow(self, sequence: Sequence, length: int) -> None:
        while len(sequence.blocks) < self._blocks_for(length):
            sequence.blocks.append(self.pool.allocate())

    def _shrink(self, sequence: Sequence) -> None:
        """Let go of blocks that only rejected tokens reached."""
        while len(sequence.blocks) > self._blocks_for(len(sequence.tokens)):
            self.pool.release(sequence.blocks.pop())

    def _release(self, sequence: Sequence) -> None:
        """Let go of all blocks, the last first, as the prefix tree asks, and of the state."""
        self._states.release(sequence)
        self._register_last(sequence)
        self._drop_copy(sequence)
        while sequence.blocks:
            self.pool.release(sequence.blocks.pop())
        sequence.computed = 0

    def _register(self, sequence: Sequence) -> None:
        """Make the blocks known that a sequence has filled since last time."""
        if self._tree is None:
            return
        size = self._block_size
        for index in range(sequence.registered, sequence.computed // size):
            tokens = sequence.tokens[index * size : (index + 1) * size]
            sequence.blocks[index] = self._tree.insert(_parent(sequence, index), tokens, sequence.blocks[index])
            sequence.registered = index + 1

    def _register_last(self, sequence: Sequence) -> None:
        """Make the block known that a sequence has filled in part and will not fill any more."""
        index, filled = divmod(sequence.computed, self._block_size)
        if self._parts is None or sequence.copy is not None or not filled:
            return
        parent, tokens = _parent(sequence, index), sequence.tokens[sequence.computed - filled : sequence.computed]
        found = self._parts.nearest(parent, tokens)
        if found is None or found[1] < filled:
            sequence.blocks[index] = self._parts.insert(parent, tokens, sequence.blocks[index])

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self._block_size)


def _parent(sequence: Sequence, index: int) -> Parent:
    """What the block at an index of a sequence hangs from in the prefix tree."""
    return sequence.blocks[index - 1] if index else sequence.salt


def _cost(sequence: Sequence, count: int) -> int:
    """What `count` tokens take from the prompts' budget."""
    return 0 if sequence.remaining == 1 else count
