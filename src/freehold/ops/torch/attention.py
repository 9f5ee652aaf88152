"""Attention over a ragged batch, with a block cache for serving and without one for training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from freehold.ops.base import AttentionRules
from freehold.ops.batch import Batch
from freehold.ops.torch.cache import TorchLayerCache


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
        lengths: [sequences] int64, rows of each.
    """

    gather: torch.Tensor
    scatter: torch.Tensor
    longest: int
    lengths: torch.Tensor

    @staticmethod
    def of(batch: Batch, device: torch.device) -> Padding:
        lengths = np.diff(batch.offsets)
        longest = int(lengths.max())
        places = np.repeat(np.arange(batch.sequences) * longest, lengths) + batch.positions
        gather = np.zeros(batch.sequences * longest, np.int64)
        gather[places] = np.arange(batch.tokens)
        places_of_rows = torch.from_numpy(places.astype(np.int64)).to(device)
        own_lengths = torch.from_numpy(lengths.astype(np.int64)).to(device)
        return Padding(torch.from_numpy(gather).to(device), places_of_rows, longest, own_lengths)


@dataclass(frozen=True, eq=False)
class Heads:
    """What differs from head to head, [heads] each; see `Ops.attention`."""

    sinks: torch.Tensor | None = None
    slopes: torch.Tensor | None = None


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, rules: AttentionRules, heads: Heads, visible: Visible
) -> torch.Tensor:
    """Attention of [sequences, heads, rows, head_dim] over [sequences, kv_heads, positions, head_dim]."""
    grouped = q.shape[1] != k.shape[1]
    if rules.softcap is None and heads.sinks is None and heads.slopes is None:
        mask = visible.mask(rules)
        return scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=rules.scale, enable_gqa=grouped
        )
    if grouped:
        k, v = (one.repeat_interleave(q.shape[1] // one.shape[1], 1) for one in (k, v))
    scores = (q.float() @ k.float().transpose(-1, -2)) * rules.scale
    if rules.softcap is not None:
        scores = rules.softcap * torch.tanh(scores / rules.softcap)
    if heads.slopes is not None:
        scores = scores + heads.slopes.float()[:, None, None] * visible.distances()
    scores = scores.masked_fill(~visible.explicit_mask(rules), -torch.inf)
    if heads.sinks is not None:
        sinks = heads.sinks.float()[None, :, None, None].expand(*scores.shape[:3], 1)
        weights = torch.cat([scores, sinks], -1).softmax(-1)[..., :-1]
    else:
        weights = scores.softmax(-1)
    return (weights @ v.float()).to(v.dtype)


@dataclass(frozen=True, eq=False)
class Visible:
    """Who is where.

    Attributes:
        rows: [rows] int64, own position of each row.
        positions: positions that there are, from 0.
        lengths: [sequences] int64, how many of them each sequence has; None where all are its own.
        aligned: whether rows are the positions themselves, so that plain causal attention needs no mask.
    """

    rows: torch.Tensor
    positions: int
    lengths: torch.Tensor | None = None
    aligned: bool = False

    def mask(self, rules: AttentionRules) -> torch.Tensor | None:
        """What each row sees; None for plain causal attention."""
        plain = self.aligned and rules.causal and rules.window is None and rules.chunk is None
        return None if plain else self.explicit_mask(rules)

    def explicit_mask(self, rules: AttentionRules) -> torch.Tensor:
        """Which positions each row attends to: [rows, positions] bool, or [sequences, 1, 1, positions]."""
        columns = torch.arange(self.positions, device=self.rows.device)
        if not rules.causal:
            assert self.lengths is not None  # only whole sequences are seen both ways
            return (columns[None, :] < self.lengths[:, None])[:, None, None, :]
        rows = self.rows[:, None]
        mask = columns[None, :] <= rows
        if rules.window is not None:
            mask &= columns[None, :] > rows - rules.window
        if rules.chunk is not None:
            mask &= columns[None, :] >= rows // rules.chunk * rules.chunk
        return mask

    def distances(self) -> torch.Tensor:
        """Seen position minus own position: [rows, positions]."""
        columns = torch.arange(self.positions, device=self.rows.device)
        return (columns[None, :] - self.rows[:, None]).float()


def attention_within(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, padding: Padding, *, rules: AttentionRules, heads: Heads
) -> torch.Tensor:
    """Each row over the rows of its own sequence. Padding lies behind them, so causal attention sees none of it."""

    def padded(x: torch.Tensor) -> torch.Tensor:
        return x[padding.gather].reshape(-1, padding.longest, *x.shape[1:]).transpose(1, 2)

    own = torch.arange(padding.longest, device=q.device)
    visible = Visible(own, padding.longest, padding.lengths, aligned=True)
    mixed = attend(padded(q), padded(k), padded(v), rules=rules, heads=heads, visible=visible)
    return mixed.transpose(1, 2).reshape(-1, q.shape[1] * v.shape[2])[padding.scatter]


def attention_cached(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor | None,
    batch: Batch,
    cache: TorchLayerCache,
    *,
    slots: Slots,
    rules: AttentionRules,
    heads: Heads,
) -> torch.Tensor:
    """Each row over the cached positions of its own sequence up to itself, one sequence at a time.

    Args:
        v: None where the values are the first features of the keys, as the cache knows.
    """
    cache.keys.write(slots.written, k)
    if cache.values is not None and v is not None:
        cache.values.write(slots.written, v)
    results = []
    for sequence, read in enumerate(slots.read):
        first, last = int(batch.offsets[sequence]), int(batch.offsets[sequence + 1])
        rows = torch.from_numpy(batch.positions[first:last].astype(np.int64)).to(q.device)
        keys, values = cache.read(read, q.dtype)
        mixed = attend(
            q[first:last].transpose(0, 1)[None],
            keys.transpose(0, 1)[None],
            values.transpose(0, 1)[None],
            rules=rules,
            heads=heads,
            visible=Visible(rows, len(read)),
        )
        results.append(mixed[0].transpose(0, 1).reshape(last - first, -1))
    return torch.cat(results)
