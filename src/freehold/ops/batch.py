"""A ragged batch: the plain description of one step of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]


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
    """

    token_ids: Int32Array
    positions: Int32Array
    offsets: Int32Array
    block_tables: Int32Array
    block_offsets: Int32Array
    logit_rows: Int32Array

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
            block_size: positions per cache block; 0 describes a step without a cache. Blocks are numbered from 0.
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
        )
