"""Parts of sequences as one ragged batch of arrays."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from collections.abc import Sequence as Listing
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from freehold.engine.sequence import Slots
from freehold.ops.batch import Batch, Int32Array


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens of one sequence to compute.

    Attributes:
        token_ids: the tokens.
        start: position of the first.
        blocks: cache blocks of the sequence's positions, in order.
        wanted: how many of the last rows have their logits wanted.
        slots: of the sequence's state; None for models without states.
    """

    token_ids: Listing[int]
    start: int
    blocks: array[int]
    wanted: int
    slots: Slots | None = None


def to_batch(parts: Listing[Part]) -> Batch:
    """The parts' numbers as arrays, in their order."""
    offsets = _ends(len(part.token_ids) for part in parts)
    positions = [np.arange(part.start, part.start + len(part.token_ids), dtype=np.int32) for part in parts]
    wanted = [np.arange(end - part.wanted, end, dtype=np.int32) for part, end in zip(parts, offsets[1:], strict=True)]
    slots = [part.slots for part in parts if part.slots is not None]
    return Batch(
        token_ids=np.array([token_id for part in parts for token_id in part.token_ids], np.int32),
        positions=np.concatenate(positions),
        offsets=offsets,
        block_tables=np.concatenate([view(part.blocks) for part in parts]),
        block_offsets=_ends(len(part.blocks) for part in parts),
        logit_rows=np.concatenate(wanted),
        state_reads=np.array([pair.read for pair in slots], np.int32),
        state_writes=np.array([pair.write for pair in slots], np.int32),
    )


def view(blocks: array[int]) -> Int32Array:
    """Block numbers as an array that shares their memory. They cannot grow or shrink as long as it lives."""
    return np.frombuffer(blocks, np.int32)


def _ends(counts: Iterable[int]) -> Int32Array:
    """[0, c0, c0 + c1, ...]"""
    return np.array([0, *accumulate(counts)], np.int32)
