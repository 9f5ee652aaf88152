"""Who owns which block of the cache: counts only, no arrays."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable


class BlockPool:
    """A fixed number of cache blocks (or slots). Each is free, held by at least one sequence, or idle.

    An idle block is held by nobody, but its contents are kept for as long as no one needs the room. Idle blocks are
    forgotten in the order in which they were last let go.

    Args:
        count: blocks there are, numbered from 0.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = list(range(count - 1, -1, -1))
        self._holders = [0] * count
        self._kept: set[int] = set()
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._forget: Callable[[int], None] = lambda block: None
        self._renew: Callable[[int], None] = lambda block: None

    def on_forget(self, forget: Callable[[int], None]) -> None:
        """Have `forget` called with each kept block whose contents are about to be lost."""
        self._forget = forget

    def on_renew(self, renew: Callable[[int], None]) -> None:
        """Have `renew` called with each block that gets a new owner, whose contents begin anew."""
        self._renew = renew

    @property
    def available(self) -> int:
        """Blocks that `allocate` can hand out now."""
        return len(self._free) + len(self._idle)

    @property
    def free(self) -> int:
        """Blocks without contents."""
        return len(self._free)

    @property
    def idle(self) -> int:
        """Blocks that nobody holds and whose contents are kept."""
        return len(self._idle)

    @property
    def used(self) -> int:
        """Blocks that sequences hold."""
        return self.count - self.available

    def allocate(self) -> int:
        """A block for one new holder, an empty one first, then the idle one that was let go longest ago.

        The caller checks `available` beforehand.
        """
        if self._free:
            block = self._free.pop()
        else:
            block, _ = self._idle.popitem(last=False)
            self._kept.discard(block)
            self._forget(block)
        self._holders[block] = 1
        self._renew(block)
        return block

    def hold(self, block: int) -> None:
        """Add a holder to a block that is held or idle."""
        if self._holders[block] == 0:
            del self._idle[block]
        self._holders[block] += 1

    def release(self, block: int) -> None:
        """Take a holder away. Without any, the block is idle if it was marked with `keep`, else free."""
        self._holders[block] -= 1
        if self._holders[block]:
            return
        if block in self._kept:
            self._idle[block] = None
        else:
            self._free.append(block)

    def keep(self, block: int) -> None:
        """Keep the contents of a held block once nobody holds it any more."""
        self._kept.add(block)

    def drop(self, block: int) -> None:
        """Undo `keep`: the contents of a held or idle block are of no use any more."""
        self._kept.discard(block)
        if block in self._idle:
            del self._idle[block]
            self._free.append(block)

    def is_idle(self, block: int) -> bool:
        return block in self._idle

    def check(self, held: Iterable[int]) -> None:
        """Verify that no block is lost or in two places.

        Args:
            held: the blocks of all sequences, each as often as sequences hold it.

        Raises:
            AssertionError: naming what is wrong.
        """
        holders = Counter(held)
        for block in range(self.count):
            assert self._holders[block] == holders[block], f"block {block}: {self._holders[block]} != {holders[block]}"
        places = [*self._free, *self._idle, *holders]
        assert sorted(places) == list(range(self.count)), f"blocks lost or doubled: {sorted(places)}"
        assert set(self._idle) <= self._kept, "an idle block is not marked as kept"
        assert not self._kept & set(self._free), "a free block is marked as kept"
