"""Blocks found again by what they hold: the prefix tree."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from freehold.engine.blocks import BlockPool

# A block is known by the block before it (or, for the first, by the salt) and by its own token ids. Following these
# edges spells out every token id from position 0, so that two different prefixes can never be taken for each other.
Parent: TypeAlias = int | str
Edge: TypeAlias = tuple[Parent, tuple[int, ...]]


class PrefixTree:
    """Blocks of token ids, each below the block that comes before it; nothing is below one that is not full.

    Holding a block means holding all those before it, and sequences let go of their last blocks first. So a block
    never idles for longer than those below it, and the pool forgets leaves before what they hang from.

    Args:
        pool: where the blocks live.
        block_size: positions per block.
        on_forget: called with each block that is about to be forgotten.
    """

    def __init__(self, pool: BlockPool, block_size: int, on_forget: Callable[[int], None] = lambda block: None) -> None:
        self._pool = pool
        self._on_forget = on_forget
        self._block_size = block_size
        self._blocks: dict[Edge, int] = {}
        self._edges: dict[int, Edge] = {}
        self._below: dict[Parent, list[tuple[int, ...]]] = {}  # token ids of the blocks below another, sorted
        pool.on_forget(self._forget)

    def match(self, tokens: Sequence[int], salt: str) -> list[int]:
        """Full blocks that hold the beginning of `tokens`, without the last token, which is always computed anew."""
        size = self._block_size
        found: list[int] = []
        parent: Parent = salt
        for start in range(0, len(tokens) - size, size):
            block = self._blocks.get((parent, tuple(tokens[start : start + size])))
            if block is None:
                break
            found.append(block)
            parent = block
        return found

    def nearest(self, parent: Parent, tokens: Sequence[int]) -> tuple[int, int] | None:
        """The block below another that begins with the most of `tokens`, and how many those are; None without any."""
        wanted, siblings = tuple(tokens[: self._block_size]), self._below.get(parent, [])
        place = bisect_left(siblings, wanted)
        # What begins most alike stands next to it in any sorted list.
        alike = [(_alike(wanted, sibling), sibling) for sibling in siblings[max(0, place - 1) : place + 1]]
        count, sibling = max(alike, default=(0, ()))
        return (self._blocks[parent, sibling], count) if count else None

    def insert(self, parent: Parent, tokens: Sequence[int], block: int) -> int:
        """Make a computed block known.

        Args:
            parent: the block before it, which the caller holds; for the first block the salt.
            tokens: its token ids; fewer than block_size where it is not full. Nobody writes to it any more then.
            block: the block, which the caller holds.

        Returns:
            The block to go on with: `block`, or one with the same contents that was known already. In that case the
            caller now holds that one and no longer holds `block`.
        """
        edge = (parent, tuple(tokens))
        known = self._blocks.get(edge)
        if known is not None:
            self._pool.hold(known)
            self._pool.release(block)
            return known
        self._blocks[edge] = block
        self._edges[block] = edge
        insort(self._below.setdefault(parent, []), edge[1])
        self._pool.keep(block)
        return block

    @property
    def known(self) -> Collection[int]:
        """Every block that can be found."""
        return self._edges.keys()

    def check(self) -> None:
        """Verify that every edge starts at a salt or a known block.

        Raises:
            AssertionError: naming the edge that does not.
        """
        for edge, block in self._blocks.items():
            assert self._edges[block] == edge, f"block {block} is known under two edges"
            parent = edge[0]
            assert isinstance(parent, str) or parent in self._edges, f"block {block} hangs from forgotten {parent}"
        assert len(self._edges) == len(self._blocks)
        assert all(siblings == sorted(siblings) for siblings in self._below.values()), "siblings are out of order"
        listed = [(parent, tokens) for parent, siblings in self._below.items() for tokens in siblings]
        assert len(listed) == len(self._blocks)
        assert set(listed) == set(self._blocks)

    def _forget(self, block: int) -> None:
        self._on_forget(block)
        parent, tokens = edge = self._edges.pop(block)
        del self._blocks[edge]
        siblings = self._below[parent]
        del siblings[bisect_left(siblings, tokens)]
        if not siblings:
            del self._below[parent]


def _alike(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many token ids both begin with."""
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count
