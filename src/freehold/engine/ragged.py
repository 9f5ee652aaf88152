"""Parts of sequences as one ragged batch of arrays."""

from __future__ import annotations

from array import array
from collections.abc import Sequence as Listing
from dataclasses import dataclass

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
    token_ids, positions, offsets, wanted = list[int](), list[int](), [0], list[int]()
    tables, table_offsets = array("i"), [0]
    for part in parts:
        token_ids += part.token_ids
        positions += range(part.start, part.start + len(part.token_ids))
        end = len(token_ids)
        offsets.append(end)
        tables += part.blocks
        table_offsets.append(len(tables))
        wanted += range(end - part.wanted, end)
    slots = [part.slots for part in parts if part.slots is not None]
    return Batch(
        token_ids=np.array(token_ids, np.int32),
        positions=np.array(positions, np.int32),
        offsets=np.array(offsets, np.int32),
        block_tables=view(tables),
        block_offsets=np.array(table_offsets, np.int32),
        logit_rows=np.array(wanted, np.int32),
        state_reads=np.array([pair.read for pair in slots], np.int32),
        state_writes=np.array([pair.write for pair in slots], np.int32),
    )


def view(blocks: array[int]) -> Int32Array:
    """Block numbers as an array that shares their memory. They cannot grow or shrink as long as it lives."""
    return np.frombuffer(blocks, np.int32)
