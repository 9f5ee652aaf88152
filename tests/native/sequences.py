"""Sequences to attend over, ways of cutting them into steps, and what attention is in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Ordered
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from freehold.ops.base import CACHE_GROUP, AttentionCache, AttentionRules, CacheType
from freehold.ops.batch import Batch
from freehold.ops.native import NativeLatentCache, NativeLayerCache, NativeOps
from tests.native.reference import Float32Array, Float64Array, random_values

SCALE = 0.31
CACHE_BLOCKS = 80
BFLOAT_NAN = 0x7FC0


@dataclass(frozen=True)
class Case:
    """A layer of attention: its heads, its rules, and whether it has sinks and slopes."""

    heads: int
    kv_heads: int
    head_dim: int
    window: int | None = None
    chunk: int | None = None
    softcap: float | None = None
    causal: bool = True
    sinks: bool = False
    slopes: bool = False

    @property
    def rules(self) -> AttentionRules:
        return AttentionRules(SCALE, self.window, self.chunk, self.softcap, self.causal)

    @property
    def of_heads(self) -> dict[str, Float32Array | None]:
        """Sinks and slopes."""
        return {
            "sinks": 2 * random_values(1000, self.heads) if self.sinks else None,
            "slopes": 0.1 * random_values(1001, self.heads) if self.slopes else None,
        }


@dataclass(frozen=True)
class Sequence:
    q: Float32Array
    k: Float32Array
    v: Float32Array

    def rows(self, start: int, stop: int) -> Sequence:
        return Sequence(self.q[start:stop], self.k[start:stop], self.v[start:stop])


def random_sequence(seed: int, tokens: int, case: Case) -> Sequence:
    """Views of a fused projection, whose rows lie apart."""
    widths = [case.heads, case.heads + case.kv_heads, case.heads + 2 * case.kv_heads]
    fused = random_values(seed, tokens, widths[-1] * case.head_dim).reshape(tokens, -1, case.head_dim)
    q, k, v, _ = np.split(fused, widths, axis=1)
    return Sequence(q, k, v)


def batch_of(chunks: Ordered[tuple[int, int, list[int]]]) -> Batch:
    """One step over several sequences: rows, first position and cache blocks of each."""
    lengths = [rows for rows, _, _ in chunks]
    return Batch(
        token_ids=np.zeros(sum(lengths), np.int32),
        positions=np.concatenate([np.arange(start, start + rows, dtype=np.int32) for rows, start, _ in chunks]),
        offsets=np.cumsum([0, *lengths]).astype(np.int32),
        block_tables=np.concatenate([blocks for _, _, blocks in chunks]).astype(np.int32),
        block_offsets=np.cumsum([0, *(len(blocks) for _, _, blocks in chunks)]).astype(np.int32),
        logit_rows=np.zeros(0, np.int32),
    )


def attend(
    ops: NativeOps, case: Case, chunks: list[tuple[Sequence, int, list[int]]], cache: NativeLayerCache
) -> list[Float32Array]:
    """One step over chunks of several sequences: rows, first position and cache blocks of each."""
    batch = batch_of([(len(sequence.q), start, blocks) for sequence, start, blocks in chunks])
    q, k, v = (np.concatenate([getattr(sequence, name) for sequence, _, _ in chunks]) for name in "qkv")
    out = ops.attention(q, k, v, batch, cache, rules=case.rules, **case.of_heads)
    return np.split(out, batch.offsets[1:-1])


def whole(ops: NativeOps, case: Case, *sequences: Sequence) -> Float32Array:
    """The sequences at once, without a cache."""
    batch = Batch.whole([[0] * len(sequence.q) for sequence in sequences])
    q, k, v = (np.concatenate([getattr(sequence, name) for sequence in sequences]) for name in "qkv")
    return ops.attention(q, k, v, batch, None, rules=case.rules, **case.of_heads)


def dirty_cache(ops: NativeOps, case: Case, block_size: int) -> NativeLayerCache:
    """What earlier sequences left behind must not matter, not even NaN."""
    [cache] = ops.create_cache([AttentionCache(case.kv_heads, case.head_dim)], CACHE_BLOCKS, block_size)
    assert isinstance(cache, NativeLayerCache)
    soil(cache)
    return cache


def soil(cache: NativeLayerCache | NativeLatentCache) -> None:
    """Fill a cache with NaN: where it holds codes, by their scales."""
    for array in (getattr(cache, one.name) for one in fields(cache)):
        if array is not None:
            array.fill({np.int8: 127, np.uint16: BFLOAT_NAN}.get(array.dtype.type, np.nan))


def cuttings(tokens: int) -> Iterator[tuple[int, list[tuple[int, int]], list[int]]]:
    """Ways to compute a sequence: the block size, the rows [from, to) of each step, and its blocks in any order."""
    rng = np.random.default_rng(2)
    for block_size in (1, 3, 8, 16, 20):
        for chunk in (tokens, 1, 16, 7, 40):
            steps = [(start, min(start + chunk, tokens)) for start in range(0, tokens, chunk)]
            yield block_size, steps, [int(block) for block in rng.permutation(CACHE_BLOCKS)[: -(-tokens // block_size)]]


def through_codes(x: npt.NDArray[np.floating]) -> Float32Array:
    """What codes of 8 bits, with a scale for each 32 features, make of rows: `CacheType` says how."""
    features = x.shape[-1]
    grouped = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -features % CACHE_GROUP)]).astype(np.float32)
    grouped = grouped.reshape(*x.shape[:-1], -1, CACHE_GROUP)
    largest = np.abs(grouped).max(axis=-1, keepdims=True) / np.float32(127)
    scales = ((largest.view(np.uint32) + np.uint32(0xFFFF)) & np.uint32(0xFFFF0000)).view(np.float32)
    codes = np.round(grouped / np.where(scales > 0, scales, np.float32(1)))
    assert np.abs(codes).max(initial=0) <= 127
    held: Float32Array = (codes * scales).reshape(*x.shape[:-1], -1)[..., :features]
    return held


# What each type of cache makes of keys and values.
STORED: dict[CacheType, Callable[[Float32Array], npt.NDArray[np.floating]]] = {
    "q8": through_codes,
    "f16": lambda x: x.astype(np.float16),
    "f32": lambda x: x,
}


def formula(
    q: npt.NDArray[np.floating],
    k: npt.NDArray[np.floating],
    v: npt.NDArray[np.floating],
    rules: AttentionRules,
    *,
    sinks: Float32Array | None = None,
    slopes: Float32Array | None = None,
) -> Float64Array:
    """Attention of one whole sequence in float64; q [tokens, heads, dim], k and v [tokens, kv_heads, any dim]."""
    tokens, heads, _ = q.shape
    group = heads // k.shape[1]
    keys, values = (np.repeat(one.astype(np.float64), group, axis=1) for one in (k, v))
    scores = np.einsum("qhd,khd->hqk", q.astype(np.float64), keys) * rules.scale
    if rules.softcap is not None:
        scores = rules.softcap * np.tanh(scores / rules.softcap)
    own, seen = np.arange(tokens)[:, None], np.arange(tokens)
    if slopes is not None:
        scores += slopes.astype(np.float64)[:, None, None] * (seen - own)
    if rules.causal:
        first = np.maximum(own - (rules.window or tokens) + 1, own // (rules.chunk or tokens) * (rules.chunk or tokens))
        scores[:, (seen > own) | (seen < first)] = -np.inf
    if sinks is not None:
        scores = np.concatenate([scores, np.broadcast_to(sinks[:, None, None], (heads, tokens, 1))], axis=2)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    result: Float64Array = np.einsum("hqk,khd->qhd", weights[..., :tokens], values).reshape(tokens, -1)
    return result
