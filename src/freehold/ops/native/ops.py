"""`Ops` over the native kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold import _kernels
from freehold.errors import BackendUnavailable
from freehold.ops.base import AttentionCache
from freehold.ops.batch import Batch
from freehold.ops.memory import available_bytes
from freehold.ops.native.cache import CacheType, NativeLayerCache, bytes_per_position, create_layer, element_type
from freehold.ops.native.weights import pack_linear
from freehold.tensors import Tensor, WeightType

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]

# Positions per block of the cache that a call without one makes for itself; results do not depend on it.
TRANSIENT_BLOCK = 64


@dataclass(frozen=True, slots=True, eq=False)
class NativeRotation:
    """Cosines and sines, [tokens, rotated / 2] each."""

    cosines: Float32Array
    sines: Float32Array


class NativeOps:
    """Operations on NumPy arrays of float32, [tokens, features], carried out by `freehold._kernels`.

    Results depend on the instruction set in use (FREEHOLD_ISA, see `_kernels.isa`), in the last bits, and on nothing
    else: not on the number of threads (FREEHOLD_THREADS), nor on what else is in a batch.

    Args:
        cache_type: what keys and values are stored in, with a cache and without: "f16" or "f32".

    Raises:
        BackendUnavailable: FREEHOLD_ISA or FREEHOLD_THREADS has a value that cannot be used here.
    """

    name = "native"

    def __init__(self, cache_type: CacheType = "f16") -> None:
        element_type(cache_type)
        self.cache_type: CacheType = cache_type
        try:
            self.isa = _kernels.isa()
            self.threads = _kernels.threads()
        except ValueError as error:
            raise BackendUnavailable(str(error), hint="correct the environment variable, or leave it unset") from error

    def pack_linear(
        self, parts: Sequence[Tensor], bias: Sequence[Tensor | None] | None, dtype: WeightType | None
    ) -> _kernels.LinearWeight:
        return pack_linear(parts, bias, dtype)

    def vector(self, tensor: Tensor) -> Float32Array:
        return np.ascontiguousarray(tensor.float32())

    def embed(self, table: _kernels.LinearWeight, token_ids: Int32Array) -> Float32Array:
        out = np.empty((len(token_ids), table.inputs), np.float32)
        _kernels.embed(table, token_ids, out)
        return out

    def rms_norm(self, x: Float32Array, weight: Float32Array, epsilon: float) -> Float32Array:
        out = np.empty(x.shape, np.float32)
        _kernels.rms_norm(x, weight, epsilon, out)
        return out

    def linear(self, x: Float32Array, weight: _kernels.LinearWeight) -> Float32Array:
        out = np.empty((len(x), weight.outputs), np.float32)
        _kernels.linear(x, weight, out)
        return out

    def rotation(self, positions: Int32Array, frequencies: Float32Array, scale: float) -> NativeRotation:
        shape = (len(positions), len(frequencies))
        rotation = NativeRotation(np.empty(shape, np.float32), np.empty(shape, np.float32))
        _kernels.rotation(positions, frequencies, scale, rotation.cosines, rotation.sines)
        return rotation

    def rope(self, x: Float32Array, rotation: NativeRotation) -> Float32Array:
        _kernels.rope(x, rotation.cosines, rotation.sines)
        return x

    def attention(
        self,
        q: Float32Array,
        k: Float32Array,
        v: Float32Array,
        batch: Batch,
        cache: NativeLayerCache | None,
        *,
        scale: float,
        window: int | None = None,
    ) -> Float32Array:
        block_tables, block_offsets = batch.block_tables, batch.block_offsets
        if cache is None:
            cache, block_tables, block_offsets = self._transient(batch, AttentionCache(*k.shape[1:]))
        if window is not None and window < 1:
            raise ValueError(f"window is {window}, must be at least 1")
        out = np.empty((len(q), q.shape[1] * q.shape[2]), np.float32)
        _kernels.attention(
            q,
            k,
            v,
            batch.positions,
            batch.offsets,
            block_tables,
            block_offsets,
            cache.keys,
            cache.values,
            scale,
            window or 0,
            out,
        )
        return out

    def _transient(self, batch: Batch, layer: AttentionCache) -> tuple[NativeLayerCache, Int32Array, Int32Array]:
        """A cache with room for exactly the batch's rows, and its block tables; every sequence begins at position 0."""
        starts = batch.positions[batch.offsets[:-1]]
        if starts.any():
            raise ValueError(f"without a cache a sequence begins at position 0, but one begins at {starts.max()}")
        blocks = -(-np.diff(batch.offsets) // TRANSIENT_BLOCK)
        tables = np.arange(blocks.sum(), dtype=np.int32)
        offsets = np.concatenate([[0], np.cumsum(blocks)]).astype(np.int32)
        return create_layer(layer, len(tables), TRANSIENT_BLOCK, self.cache_type), tables, offsets

    def gated_mlp(
        self, x: Float32Array, gate_up: _kernels.LinearWeight, down: _kernels.LinearWeight, activation: str
    ) -> Float32Array:
        hidden = self.linear(x, gate_up)
        _kernels.gate(hidden, activation)
        return self.linear(hidden[:, : hidden.shape[1] // 2], down)

    def add(self, x: Float32Array, y: Float32Array) -> Float32Array:
        _kernels.add(x, y)
        return x

    def select_rows(self, x: Float32Array, rows: Int32Array) -> Float32Array:
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(x):
            raise ValueError(f"rows {rows.min()} to {rows.max()} are wanted of {len(x)}")
        selected: Float32Array = x[rows]
        return selected

    def create_cache(self, layers: Sequence[AttentionCache], blocks: int, block_size: int) -> list[NativeLayerCache]:
        return [create_layer(layer, blocks, block_size, self.cache_type) for layer in layers]

    def cache_bytes(self, layers: Sequence[AttentionCache]) -> int:
        return bytes_per_position(layers, self.cache_type)

    def available_bytes(self) -> int:
        return available_bytes()

    def to_numpy(self, x: Float32Array) -> Float32Array:
        return x
