"""Who owns which state of a model that keeps something per sequence: counts and slot numbers only, no arrays."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence as Listing

from freehold.engine.blocks import BlockPool
from freehold.engine.sequence import NO_SLOT, Sequence, Slots


class States:
    """For models that keep nothing per sequence: there is nothing to own, and any known prefix can be gone on from."""

    def most_running(self, wanted: int) -> int:
        """How many of `wanted` sequences there is room for at once."""
        return wanted

    def usable(self, blocks: list[int]) -> list[int]:
        """The longest beginning of known blocks that a sequence can go on from."""
        return blocks

    def begin(self, sequence: Sequence, known: int) -> None:
        """A sequence was admitted and holds the usable blocks; `known` says how many blocks were known in all."""

    def share(self, sequence: Sequence, count: int) -> int:
        """How many of the next `count` tokens a sequence may compute in one step."""
        return count

    def take(self, sequence: Sequence) -> Slots | None:
        """The slots for a sequence's part of the next step; None for models without states."""
        return None

    def advance(self, sequence: Sequence) -> None:
        """A sequence's part of a step is done, and the blocks that it filled are known."""

    def release(self, sequence: Sequence) -> None:
        """Let go of all that a sequence holds."""

    def forget(self, block: int) -> None:
        """A known block is about to be lost."""

    def check(self, running: Listing[Sequence], known: Collection[int]) -> None:
        """Verify that no slot is lost or has two owners, given all that run and the blocks that are known.

        Raises:
            AssertionError: naming what is wrong.
        """


class StatePool(States):
    """A fixed number of slots, each with room for the state of one sequence.

    A step reads the slot that the sequence holds and writes a fresh one, which it holds from then on. So a part of a
    step can be run again, and a snapshot costs no copying: at the end of some blocks the slot that was just written is
    kept together with the block, for others to go on from. Nobody writes to it again; once nobody holds it either, it
    is forgotten when the room is needed, those that were used longest ago first.

    Snapshots are taken where a prompt's last full block ends, where a prompt leaves what is known (others are likely to
    leave there, too), and after every `interval` blocks.

    Args:
        count: slots there are, at least 2; a running sequence may need 2.
        block_size: positions per block.
        interval: blocks between snapshots; None for no snapshots at all.
    """

    def __init__(self, count: int, block_size: int, interval: int | None):
        assert count >= 2, f"{count} slots are too few for a single sequence"
        self.pool = BlockPool(count)
        self._block_size = block_size
        self._interval = interval
        self._slots: dict[int, int] = {}  # of snapshots, by the block at whose end they were taken
        self._blocks: dict[int, int] = {}  # the other way round
        self.pool.on_forget(self._forget_slot)

    def most_running(self, wanted: int) -> int:
        return min(wanted, self.pool.count // 2)

    def usable(self, blocks: list[int]) -> list[int]:
        length = len(blocks)
        while length and blocks[length - 1] not in self._slots:
            length -= 1
        return blocks[:length]

    def begin(self, sequence: Sequence, known: int) -> None:
        if sequence.blocks:
            sequence.slot = self._slots[sequence.blocks[-1]]
            self.pool.hold(sequence.slot)
        last = (len(sequence.tokens) - 1) // self._block_size
        sequence.marks = (known * self._block_size, last * self._block_size)

    def share(self, sequence: Sequence, count: int) -> int:
        if self._interval is None:
            return count
        position, step = sequence.computed, self._interval * self._block_size
        ends = [mark for mark in (*sequence.marks, (position // step + 1) * step) if mark > position]
        return min(count, min(ends) - position)

    def take(self, sequence: Sequence) -> Slots:
        sequence.next_slot = self.pool.allocate()
        return Slots(sequence.slot, sequence.next_slot)

    def advance(self, sequence: Sequence) -> None:
        self._release(sequence.slot)
        sequence.slot, sequence.next_slot = sequence.next_slot, NO_SLOT
        position = sequence.computed
        if self._interval is None or position % self._block_size:
            return
        if position in sequence.marks or position % (self._interval * self._block_size) == 0:
            self._keep(sequence.blocks[position // self._block_size - 1], sequence.slot)

    def release(self, sequence: Sequence) -> None:
        self._release(sequence.slot)
        self._release(sequence.next_slot)
        sequence.slot = sequence.next_slot = NO_SLOT

    def forget(self, block: int) -> None:
        slot = self._slots.pop(block, None)
        if slot is not None:
            del self._blocks[slot]
            self.pool.drop(slot)

    def check(self, running: Listing[Sequence], known: Collection[int]) -> None:
        held = [slot for sequence in running for slot in (sequence.slot, sequence.next_slot)]
        self.pool.check(slot for slot in held if slot != NO_SLOT)
        assert {slot: block for block, slot in self._slots.items()} == self._blocks, "a snapshot has two owners"
        assert set(self._slots) <= set(known), "a snapshot belongs to a block that is not known"
        assert self.pool.idle <= len(self._slots), "an idle slot is nobody's snapshot"
        assert all(sequence.computed == 0 or sequence.slot != NO_SLOT for sequence in running), "a state is lost"

    def _keep(self, block: int, slot: int) -> None:
        if block not in self._slots:
            self._slots[block], self._blocks[slot] = slot, block
            self.pool.keep(slot)

    def _release(self, slot: int) -> None:
        if slot != NO_SLOT:
            self.pool.release(slot)

    def _forget_slot(self, slot: int) -> None:
        del self._slots[self._blocks.pop(slot)]
