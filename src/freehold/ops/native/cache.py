"""The caches of layers, in the layouts that the kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from freehold.ops.base import CACHE_GROUP, AttentionCache, CacheKind, CacheType, DeltaCache, LatentCache

# Positions whose keys lie side by side, and the features that values are padded to: one vector of eight.
LANES = 8

ElementType: TypeAlias = type[np.int8] | type[np.float16] | type[np.float32]
# bfloat16, as whose bits NumPy has nothing better.
Scales: TypeAlias = npt.NDArray[np.uint16]

_TYPES: dict[str, ElementType] = {"q8": np.int8, "f16": np.float16, "f32": np.float32}


@dataclass(frozen=True, slots=True, eq=False)
class NativeLayerCache:
    """Keys and values of one layer of attention.

    Attributes:
        keys: [blocks, kv_heads, block_size / 8 rounded up, head_dim, 8 positions].
        values: [blocks, kv_heads, block_size, head_dim rounded up to 8].
        key_scales: [blocks, kv_heads, block_size / 8 rounded up, head_dim / 32 rounded up, 8 positions] where keys are
            codes, else None.
        value_scales: [blocks, kv_heads, head_dim / 32 rounded up, block_size rounded up to 8], likewise.
    """

    keys: npt.NDArray[Any]
    values: npt.NDArray[Any]
    key_scales: Scales | None = None
    value_scales: Scales | None = None

    @property
    def block_size(self) -> int:
        """Positions in a block."""
        return int(self.values.shape[2])


@dataclass(frozen=True, slots=True, eq=False)
class NativeLatentCache:
    """What one layer of latent attention keeps.

    Attributes:
        keys: [blocks, block_size, latent + rotated]; the first features are the values, too.
        scales: [blocks, block_size, (latent + rotated) / 32 rounded up] where keys are codes, else None.
    """

    keys: npt.NDArray[Any]
    scales: Scales | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NativeStates:
    """What one layer of linear attention keeps.

    Attributes:
        inputs: [slots, width - 1, channels] float32, the latest inputs of the convolution.
        matrices: [slots, value_heads, key_dim, value_dim] float32.
    """

    inputs: npt.NDArray[np.float32]
    matrices: npt.NDArray[np.float32]


NativeCache: TypeAlias = NativeLayerCache | NativeLatentCache | NativeStates


def element_type(cache_type: CacheType) -> ElementType:
    """The NumPy type that keys and values are stored in.

    Raises:
        ValueError: there is no such type of cache.
    """
    if cache_type not in _TYPES:
        raise ValueError(f"cache_type is {cache_type!r}, must be one of {', '.join(_TYPES)}")
    return _TYPES[cache_type]


def create_layer(layer: CacheKind, blocks: int, block_size: int, cache_type: CacheType, states: int = 0) -> NativeCache:
    """Zeroed memory, which the system hands out page by page as it is written to."""
    if blocks < 0 or block_size < 1:
        raise ValueError(f"blocks is {blocks} and block_size {block_size}, must be at least 0 and 1")
    match layer:
        case AttentionCache():
            return create_attention(layer, blocks, block_size, cache_type)
        case LatentCache():
            return create_latent(layer, blocks, block_size, cache_type)
        case DeltaCache():
            return create_states(layer, states)


def create_attention(layer: AttentionCache, blocks: int, block_size: int, cache_type: CacheType) -> NativeLayerCache:
    """The cache of a layer of plain attention."""
    kind = element_type(cache_type)
    groups, scales = _divided_up(block_size, LANES), _divided_up(layer.head_dim, CACHE_GROUP)
    return NativeLayerCache(
        keys=np.zeros((blocks, layer.kv_heads, groups, layer.head_dim, LANES), kind),
        values=np.zeros((blocks, layer.kv_heads, block_size, _padded(layer.head_dim)), kind),
        key_scales=_scales(cache_type, blocks, layer.kv_heads, groups, scales, LANES),
        value_scales=_scales(cache_type, blocks, layer.kv_heads, scales, groups * LANES),
    )


def create_latent(layer: LatentCache, blocks: int, block_size: int, cache_type: CacheType) -> NativeLatentCache:
    """The cache of a layer of latent attention."""
    features = layer.latent + layer.rotated
    return NativeLatentCache(
        keys=np.zeros((blocks, block_size, features), element_type(cache_type)),
        scales=_scales(cache_type, blocks, block_size, _divided_up(features, CACHE_GROUP)),
    )


def create_states(layer: DeltaCache, slots: int) -> NativeStates:
    """The states of a layer of linear attention."""
    if slots < 0:
        raise ValueError(f"states is {slots}, must be at least 0")
    return NativeStates(
        inputs=np.zeros((slots, layer.width - 1, layer.channels), np.float32),
        matrices=np.zeros((slots, layer.value_heads, layer.key_dim, layer.value_dim), np.float32),
    )


def copy_block(cache: NativeLayerCache | NativeLatentCache, source: int, target: int) -> None:
    """Have a block hold what another holds."""
    for field in fields(cache):
        array = getattr(cache, field.name)
        if array is not None:
            array[target] = array[source]


def bytes_per_state(layers: Sequence[CacheKind]) -> int:
    """Bytes that a slot takes in all layers."""
    total = 0
    for layer in layers:
        if isinstance(layer, DeltaCache):
            total += (layer.width - 1) * layer.channels + layer.value_heads * layer.key_dim * layer.value_dim
    return total * np.dtype(np.float32).itemsize


def bytes_per_position(layers: Sequence[CacheKind], cache_type: CacheType) -> int:
    """Bytes that a position takes in all layers, where block_size is a multiple of 8."""
    sizes = [_sizes(layer) for layer in layers]
    elements = sum(elements for elements, _ in sizes) * np.dtype(element_type(cache_type)).itemsize
    scales = sum(scales for _, scales in sizes) * np.dtype(np.uint16).itemsize
    return elements + (scales if cache_type == "q8" else 0)


def _sizes(layer: CacheKind) -> tuple[int, int]:
    """Elements that a position takes in one layer, and scales where they are codes."""
    match layer:
        case AttentionCache(kv_heads, head_dim):
            return kv_heads * (head_dim + _padded(head_dim)), kv_heads * 2 * _divided_up(head_dim, CACHE_GROUP)
        case LatentCache(latent, rotated):
            return latent + rotated, _divided_up(latent + rotated, CACHE_GROUP)
        case DeltaCache():
            return 0, 0


def _scales(cache_type: CacheType, *shape: int) -> Scales | None:
    return np.zeros(shape, np.uint16) if cache_type == "q8" else None


def _padded(head_dim: int) -> int:
    return _divided_up(head_dim, LANES) * LANES


def _divided_up(count: int, size: int) -> int:
    return -(-count // size)
