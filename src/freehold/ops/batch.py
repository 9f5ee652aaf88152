"""A ragged batch: the plain description of one step of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]


def _no_states() -> Int32Array:
    return np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Tokens of several sequences, one after the other, without padding.

    Prefill, chunked prefill, decoding and packed training differ in their numbers only. Row r of sequence s
    (offsets[s] <= r < offsets[s + 1]) attends to every cached position of s up to and including positions[r].

    Attributes:
        token_ids: [tokens] int32.
        positions: [tokens] int32, counted from 0 in each sequence, consecutive within a sequence.
        offsets: [sequences + 1] int32, where each sequence's rows begin.
        block_tables: [total blocks] int32, the cache blocks of all sequences one after the other, in position order.
            Empty when the step runs without a cache.
        block_offsets: [sequences + 1] int32, where each sequence's blocks begin in block_tables.
        logit_rows: [wanted] int32, the rows whose logits are wanted.
        state_reads: [sequences] int32, the slot from which a model with states per sequence goes on; -1 to begin anew.
            Empty for other models, and without a cache.
        state_writes: [sequences] int32, the slot that takes the state after each sequence's last row; may be the one
            that was read.
    """

    token_ids: Int32Array
    positions: Int32Array
    offsets: Int32Array
    block_tables: Int32Array
    block_offsets: Int32Array
    logit_rows: Int32Array
    state_reads: Int32Array = field(default_factory=_no_states)
    state_writes: Int32Array = field(default_factory=_no_states)

    @property
    def tokens(self) -> int:
        return len(self.token_ids)

    @property
    def sequences(self) -> int:
        return len(self.offsets) - 1

    @staticmethod
    def whole(sequences: Sequence[Sequence[int]], block_size: int = 0) -> Batch:
        """Whole sequences from position 0, with logits for every row.

        Args:
            sequences: token ids of each sequence; each must hold at least one token.
            block_size: positions per cache block; 0 describes a step without a cache. Blocks are numbered from 0, and
                so are states.
        """
        lengths = np.array([len(sequence) for sequence in sequences], np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        blocks = -(-lengths // block_size) if block_size else np.zeros(len(sequences), np.int32)
        return Batch(
            token_ids=np.concatenate([np.asarray(sequence, np.int32) for sequence in sequences]),
            positions=np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
            offsets=offsets,
            block_tables=np.arange(int(blocks.sum()), dtype=np.int32),
            block_offsets=np.concatenate([[0], np.cumsum(blocks)]).astype(np.int32),
            logit_rows=np.arange(int(offsets[-1]), dtype=np.int32),
            state_reads=np.full(len(sequences) if block_size else 0, -1, np.int32),
            state_writes=np.arange(len(sequences) if block_size else 0, dtype=np.int32),
        )


def in_groups(sequences: Sequence[Sequence[int]], most: int) -> Iterator[list[Sequence[int]]]:
    """Neighbouring sequences together as long as they have at most `most` tokens; a longer one is by itself."""
    group: list[Sequence[int]] = []
    tokens = 0
    for sequence in sequences:
        if group and tokens + len(sequence) > most:
            yield group
            group, tokens = [], 0
        group.append(sequence)
        tokens += len(sequence)
    if group:
        yield group
