"""How much of each cache block a draft model has filled, too."""

from __future__ import annotations

import numpy as np

from freehold.engine.ragged import view
from freehold.engine.sequence import Sequence


class DraftCache:
    """Counts of positions, no keys and values.

    A draft model keeps its keys and values under the block numbers of the model that it drafts for. So whatever gives a
    sequence blocks or takes them (prefixes found again, pre-emption, its end) does so for both; only how far the draft
    model has come in each block is counted here.

    Args:
        blocks, block_size: shape of the cache.
    """

    def __init__(self, blocks: int, block_size: int) -> None:
        self._size = block_size
        self._filled = np.zeros(blocks, np.int32)
        self._renewals = [0] * blocks

    def renewed(self, block: int) -> None:
        """What a block held is lost: it has a new owner."""
        self._filled[block] = 0
        self._renewals[block] += 1

    def length(self, sequence: Sequence) -> int:
        """Positions of a sequence that are filled, from its first on."""
        filled = self._filled[view(sequence.blocks)]
        short = np.flatnonzero(filled < self._size)
        whole = int(short[0]) if len(short) else len(filled)
        return whole * self._size + (int(filled[whole]) if whole < len(filled) else 0)

    def fill(self, sequence: Sequence, start: int, end: int) -> None:
        """The positions from `start` to before `end` are filled, and those before them were."""
        size = self._size
        for index in range(start // size, -(-end // size)):
            block = sequence.blocks[index]
            self._filled[block] = max(self._filled[block], min(end - index * size, size))

    def places(self, sequence: Sequence, start: int) -> list[tuple[int, int]]:
        """The blocks that hold the positions from `start` on, each with how often it was renewed."""
        return [(block, self._renewals[block]) for block in sequence.blocks[start // self._size :]]

    def settle(self, sequence: Sequence, start: int, end: int, places: list[tuple[int, int]]) -> None:
        """What was put into `places` at the positions from `start` to before `end` turned out right.

        It counts as far as the sequence still has it there.
        """
        now = self.places(sequence, start)
        first = start // self._size
        kept = 0
        while kept < min(len(now), len(places)) and now[kept] == places[kept]:
            kept += 1
        end = min(end, (first + kept) * self._size)
        if end > start:
            self.fill(sequence, start, end)
