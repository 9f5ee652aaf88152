"""Attention over the native kernels: what is checked and prepared before they run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from freehold import _kernels
from freehold.ops.base import AttentionCache, AttentionRules, CacheType, LatentCache
from freehold.ops.batch import Batch
from freehold.ops.native.arrays import empty
from freehold.ops.native.cache import NativeLatentCache, NativeLayerCache, create_attention, create_latent

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]

# Positions per block of the cache that a call without one makes for itself; results do not depend on it.
TRANSIENT_BLOCK = 64


def attend(
    q: Float32Array,
    k: Float32Array,
    v: Float32Array,
    batch: Batch,
    cache: NativeLayerCache | None,
    *,
    rules: AttentionRules,
    sinks: Float32Array | None,
    slopes: Float32Array | None,
    cache_type: CacheType,
) -> Float32Array:
    """`Ops.attention`.

    Args:
        cache_type: what keys and values pass through where there is no cache.

    Raises:
        ValueError: rules that contradict the cache; arrays that do not fit each other.
    """
    if cache is not None and not rules.causal:
        raise ValueError("attention that is not causal sees whole sequences, so it cannot have a cache")
    tables, table_offsets = batch.block_tables, batch.block_offsets
    if cache is None:
        tables, table_offsets = _transient_blocks(batch)
        cache = create_attention(AttentionCache(*k.shape[1:]), len(tables), TRANSIENT_BLOCK, cache_type)
    out = empty((len(q), q.shape[1] * q.shape[2]))
    _kernels.attention(
        q,
        k,
        v,
        batch.positions,
        batch.offsets,
        tables,
        table_offsets,
        cache.keys,
        cache.values,
        cache.key_scales,
        cache.value_scales,
        rules.scale,
        rules.window or 0,
        rules.chunk or 0,
        rules.softcap or 0.0,
        rules.causal,
        sinks,
        slopes,
        out,
    )
    return out


def attend_latent(
    q: Float32Array,
    k: Float32Array,
    batch: Batch,
    cache: NativeLatentCache | None,
    *,
    shape: LatentCache,
    rules: AttentionRules,
    cache_type: CacheType,
) -> Float32Array:
    """`Ops.latent_attention`.

    Args:
        cache_type: what keys pass through where there is no cache.

    Raises:
        ValueError: rules other than a scale; arrays that do not fit each other or the shape.
    """
    if rules != AttentionRules(rules.scale):
        raise ValueError(f"latent attention knows no rule but a scale, and was given {rules}")
    if q.shape[2] != shape.latent + shape.rotated:
        raise ValueError(f"q has {q.shape[2]} features, but {shape} has {shape.latent + shape.rotated}")
    tables, table_offsets = batch.block_tables, batch.block_offsets
    if cache is None:
        tables, table_offsets = _transient_blocks(batch)
        cache = create_latent(shape, len(tables), TRANSIENT_BLOCK, cache_type)
    out = empty((len(q), q.shape[1], shape.latent))
    _kernels.latent_attention(
        q,
        k,
        batch.positions,
        batch.offsets,
        tables,
        table_offsets,
        cache.keys,
        cache.scales,
        shape.latent,
        rules.scale,
        out.reshape(len(q), q.shape[1] * shape.latent),
    )
    return out


def _transient_blocks(batch: Batch) -> tuple[Int32Array, Int32Array]:
    """Block tables of a cache for exactly the batch's rows, where every sequence begins at position 0."""
    starts = batch.positions[batch.offsets[:-1]]
    if starts.any():
        raise ValueError(f"without a cache a sequence begins at position 0, but one begins at {starts.max()}")
    blocks = -(-np.diff(batch.offsets) // TRANSIENT_BLOCK)
    return np.arange(blocks.sum(), dtype=np.int32), np.concatenate([[0], np.cumsum(blocks)]).astype(np.int32)
