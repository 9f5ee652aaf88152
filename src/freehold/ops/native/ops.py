"""`Ops` over the native kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold import _kernels
from freehold.errors import BackendUnavailable
from freehold.ops.base import (
    AttentionRules,
    CacheKind,
    CacheType,
    DeltaCache,
    DeltaWeights,
    Forward,
    LatentCache,
    Routing,
)
from freehold.ops.batch import Batch
from freehold.ops.memory import available_bytes
from freehold.ops.native.arrays import empty
from freehold.ops.native.attention import attend, attend_latent
from freehold.ops.native.cache import (
    NativeCache,
    NativeLatentCache,
    NativeLayerCache,
    NativeStates,
    bytes_per_position,
    bytes_per_state,
    copy_block,
    create_layer,
    element_type,
)
from freehold.ops.native.experts import experts, head_linear, pack_experts
from freehold.ops.native.graphs import GraphedForward
from freehold.ops.native.weights import pack_linear
from freehold.tensors import Tensor, WeightType

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class NativeRotation:
    """Cosines and sines, [tokens, rotated / 2] each."""

    cosines: Float32Array
    sines: Float32Array


class NativeOps:
    """Operations on NumPy arrays of float32, [tokens, features], carried out by `freehold._kernels`.

    Results depend on the instruction set in use (FREEHOLD_ISA, see `_kernels.isa`), in the last bits, and on nothing
    else: not on the number of threads (FREEHOLD_THREADS), nor on what else is in a batch.

    From the first one on, the process keeps up to 64 MiB of freed memory instead of giving it back to the system.

    Args:
        cache_type: what keys and values are stored in, with a cache and without.

    Raises:
        BackendUnavailable: FREEHOLD_ISA or FREEHOLD_THREADS has a value that cannot be used here.
    """

    name = "native"

    def __init__(self, cache_type: CacheType = "f16") -> None:
        element_type(cache_type)
        self.cache_type: CacheType = cache_type
        _kernels.keep_freed_memory()
        try:
            self.isa = _kernels.isa()
            self.threads = _kernels.threads()
        except ValueError as error:
            raise BackendUnavailable(str(error), hint="correct the environment variable, or leave it unset") from error

    def pack_linear(
        self, parts: Sequence[Tensor], bias: Sequence[Tensor | None] | None, dtype: WeightType | None
    ) -> _kernels.LinearWeight:
        return pack_linear(parts, bias, dtype)

    def pack_experts(
        self,
        parts: Sequence[Sequence[Tensor]],
        bias: Sequence[Sequence[Tensor | None]] | None,
        dtype: WeightType | None,
    ) -> _kernels.ExpertsWeight:
        return pack_experts(parts, bias, dtype)

    def vector(self, tensor: Tensor) -> Float32Array:
        return np.require(tensor.float32(), requirements="C")

    def embed(self, table: _kernels.LinearWeight, token_ids: Int32Array) -> Float32Array:
        out = empty((len(token_ids), table.inputs))
        _kernels.embed(table, token_ids, out)
        return out

    def rms_norm(self, x: Float32Array, weight: Float32Array | None, epsilon: float) -> Float32Array:
        out = empty(x.shape)
        _kernels.rms_norm(x, weight, epsilon, out)
        return out

    def layer_norm(
        self, x: Float32Array, weight: Float32Array | None, bias: Float32Array | None, epsilon: float
    ) -> Float32Array:
        out = empty(x.shape)
        _kernels.layer_norm(x, weight, bias, epsilon, out)
        return out

    def linear(self, x: Float32Array, weight: _kernels.LinearWeight, onto: Float32Array | None = None) -> Float32Array:
        out = empty((len(x), weight.outputs)) if onto is None else onto
        _kernels.linear(x, weight, out, onto is not None)
        return out

    def rotation(self, positions: Int32Array, frequencies: Float32Array, scale: float) -> NativeRotation:
        shape = (len(positions), len(frequencies))
        rotation = NativeRotation(empty(shape), empty(shape))
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
        rules: AttentionRules,
        sinks: Float32Array | None = None,
        slopes: Float32Array | None = None,
    ) -> Float32Array:
        return attend(q, k, v, batch, cache, rules=rules, sinks=sinks, slopes=slopes, cache_type=self.cache_type)

    def latent_attention(
        self,
        q: Float32Array,
        k: Float32Array,
        batch: Batch,
        cache: NativeLatentCache | None,
        *,
        shape: LatentCache,
        rules: AttentionRules,
    ) -> Float32Array:
        return attend_latent(q, k, batch, cache, shape=shape, rules=rules, cache_type=self.cache_type)

    def delta_rule(
        self,
        qkv: Float32Array,
        decay: Float32Array,
        beta: Float32Array,
        batch: Batch,
        cache: NativeStates | None,
        *,
        weights: DeltaWeights,
        shape: DeltaCache,
    ) -> Float32Array:
        out = empty((len(qkv), shape.value_heads, shape.value_dim))
        _kernels.delta_rule(
            qkv,
            decay,
            beta,
            batch.offsets,
            batch.state_reads,
            batch.state_writes,
            None if cache is None else cache.inputs,
            None if cache is None else cache.matrices,
            weights.convolution,
            weights.rates,
            weights.offsets,
            shape.key_heads,
            shape.key_dim,
            shape.tiled,
            out,
        )
        return out

    def head_linear(self, x: Float32Array, weight: _kernels.ExpertsWeight) -> Float32Array:
        return head_linear(x, weight)

    def gated_mlp(
        self,
        x: Float32Array,
        gate_up: _kernels.LinearWeight,
        down: _kernels.LinearWeight,
        activation: str,
        limit: float | None = None,
        *,
        onto: Float32Array | None = None,
    ) -> Float32Array:
        out = empty((len(x), down.outputs)) if onto is None else onto
        _kernels.gated_mlp(x, gate_up, down, activation, limit, out, onto is not None)
        return out

    def experts(
        self,
        x: Float32Array,
        router_logits: Float32Array,
        gate_up: _kernels.ExpertsWeight,
        down: _kernels.ExpertsWeight,
        *,
        selection_bias: Float32Array | None,
        routing: Routing,
        activation: str,
        limit: float | None = None,
    ) -> Float32Array:
        return experts(
            x,
            router_logits,
            gate_up,
            down,
            selection_bias=selection_bias,
            routing=routing,
            activation=activation,
            limit=limit,
        )

    def activate(self, x: Float32Array, activation: str) -> Float32Array:
        _kernels.activate(x, activation)
        return x

    def gate(self, x: Float32Array, gates: Float32Array, activation: str) -> Float32Array:
        _kernels.gate(x, gates, activation)
        return x

    def softcap(self, x: Float32Array, cap: float) -> Float32Array:
        _kernels.softcap(x, cap)
        return x

    def scale(self, x: Float32Array, factor: float | Float32Array) -> Float32Array:
        if isinstance(factor, np.ndarray):
            _kernels.scale_rows(x, factor)
        else:
            _kernels.scale(x, factor)
        return x

    def add(self, x: Float32Array, y: Float32Array) -> Float32Array:
        _kernels.add(x, y)
        return x

    def concatenate(self, parts: Sequence[Float32Array]) -> Float32Array:
        out = empty((*parts[0].shape[:-1], sum(part.shape[-1] for part in parts)))
        start = 0
        for part in parts:
            end = start + part.shape[-1]
            _kernels.copy(part, out[..., start:end])
            start = end
        return out

    def select_rows(self, x: Float32Array, rows: Int32Array) -> Float32Array:
        out = empty((len(rows), x.shape[1]))
        _kernels.select_rows(x, rows, out)
        return out

    def create_cache(
        self, layers: Sequence[CacheKind], blocks: int, block_size: int, states: int = 0
    ) -> list[NativeCache]:
        return [create_layer(layer, blocks, block_size, self.cache_type, states) for layer in layers]

    def copy_block(self, cache: NativeLayerCache | NativeLatentCache, source: int, target: int) -> None:
        copy_block(cache, source, target)

    def cache_bytes(self, layers: Sequence[CacheKind]) -> int:
        return bytes_per_position(layers, self.cache_type)

    def state_bytes(self, layers: Sequence[CacheKind]) -> int:
        return bytes_per_state(layers)

    def available_bytes(self) -> int:
        return available_bytes()

    def graphed(self, forward: Forward) -> Forward:
        return GraphedForward(forward)

    def to_numpy(self, x: Float32Array) -> Float32Array:
        return x
