"""Attention over a ragged batch, with a block cache for serving and without one for training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from freehold.ops.batch import Batch


@dataclass(eq=False)
class TorchLayerCache:
    """Keys and values of one layer.

    Attributes:
        keys, values: [blocks * block_size, kv_heads, head_dim].
        block_size: positions per block.
    """

    keys: torch.Tensor
    values: torch.Tensor
    block_size: int


@dataclass(frozen=True, eq=False)
class Slots:
    """Where a batch's rows lie in the cache.

    Attributes:
        written: [tokens] int64, the slot of each row.
        read: for each sequence the slots of its positions 0 .. last, int64.
    """

    written: torch.Tensor
    read: list[torch.Tensor]

    @staticmethod
    def of(batch: Batch, block_size: int, device: torch.device) -> Slots:
        written = np.empty(batch.tokens, np.int64)
        read = []
        for sequence in range(batch.sequences):
            first, last = batch.offsets[sequence], batch.offsets[sequence + 1]
            table = batch.block_tables[batch.block_offsets[sequence] : batch.block_offsets[sequence + 1]]
            positions = np.arange(int(batch.positions[last - 1]) + 1)
            slots = table[positions // block_size].astype(np.int64) * block_size + positions % block_size
            written[first:last] = slots[batch.positions[first:last]]
            read.append(torch.from_numpy(slots).to(device))
        return Slots(torch.from_numpy(written).to(device), read)


@dataclass(frozen=True, eq=False)
class Padding:
    """A batch's rows laid out as [sequences, longest], for attention without a cache.

    Attributes:
        gather: [sequences * longest] int64, the row at each place; padding points at row 0.
        scatter: [tokens] int64, the place of each row.
        longest: rows of the longest sequence.
    """

    gather: torch.Tensor
    scatter: torch.Tensor
    longest: int

    @staticmethod
    def of(batch: Batch, device: torch.device) -> Padding:
        lengths = np.diff(batch.offsets)
        longest = int(lengths.max())
        places = np.repeat(np.arange(batch.sequences) * longest, lengths) + batch.positions
        gather = np.zeros(batch.sequences * longest, np.int64)
        gather[places] = np.arange(batch.tokens)
        return Padding(torch.from_numpy(gather).to(device), torch.from_numpy(places).to(device), longest)


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, scale: float, mask: torch.Tensor | None, grouped: bool
) -> torch.Tensor:
    """Attention of [sequences, heads, rows, head_dim] over [sequences, kv_heads, positions, head_dim].

    Args:
        mask: [rows, positions] True where a row sees a position; None for plain causal attention.
        grouped: whether several heads share a KV head.
    """
    return scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=grouped
    )


def seen(rows: torch.Tensor, positions: int, window: int | None) -> torch.Tensor:
    """Which of `positions` each row (given by its own position) attends to: [rows, positions] bool."""
    columns = torch.arange(positions, device=rows.device)
    mask = columns[None, :] <= rows[:, None]
    if window is not None:
        mask &= columns[None, :] > rows[:, None] - window
    return mask


def attention_within(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, padding: Padding, *, scale: float, window: int | None
) -> torch.Tensor:
    """Each row over the rows of its own sequence up to itself. Padding lies behind every row, so none sees it."""

    def padded(x: torch.Tensor) -> torch.Tensor:
        return x[padding.gather].reshape(-1, padding.longest, *x.shape[1:]).transpose(1, 2)

    mask = None
    if window is not None:
        mask = seen(torch.arange(padding.longest, device=q.device), padding.longest, window)
    mixed = attend(padded(q), padded(k), padded(v), scale=scale, mask=mask, grouped=q.shape[1] != k.shape[1])
    return mixed.transpose(1, 2).reshape(-1, q.shape[1] * q.shape[2])[padding.scatter]


def attention_cached(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    batch: Batch,
    cache: TorchLayerCache,
    *,
    slots: Slots,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    """Each row over the cached positions of its own sequence up to itself, one sequence at a time."""
    cache.keys[slots.written] = k
    cache.values[slots.written] = v
    results = []
    for sequence, read in enumerate(slots.read):
        first, last = int(batch.offsets[sequence]), int(batch.offsets[sequence + 1])
        rows = torch.from_numpy(batch.positions[first:last]).to(q.device)
        mixed = attend(
            q[first:last].transpose(0, 1)[None],
            cache.keys[read].transpose(0, 1)[None],
            cache.values[read].transpose(0, 1)[None],
            scale=scale,
            mask=seen(rows, len(read), window),
            grouped=q.shape[1] != k.shape[1],
        )
        results.append(mixed[0].transpose(0, 1).reshape(last - first, -1))
    return torch.cat(results)
