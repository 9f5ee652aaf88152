"""The block cache of one attention layer, in the layout that the attention kernel reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from freehold.ops.base import AttentionCache

CacheType = Literal["f16", "f32"]

# Positions whose keys lie side by side, and the features that values are padded to: one vector of eight.
LANES = 8

_TYPES: dict[str, type[np.float16] | type[np.float32]] = {"f16": np.float16, "f32": np.float32}


@dataclass(frozen=True, slots=True, eq=False)
class NativeLayerCache:
    """Keys and values of one layer.

    Attributes:
        keys: [blocks, kv_heads, block_size / 8 rounded up, head_dim, 8 positions].
        values: [blocks, kv_heads, block_size, head_dim rounded up to 8].
    """

    keys: npt.NDArray[Any]
    values: npt.NDArray[Any]

    @property
    def block_size(self) -> int:
        """Positions in a block."""
        return int(self.values.shape[2])


def element_type(cache_type: CacheType) -> type[np.float16] | type[np.float32]:
    """The NumPy type that keys and values are stored in.

    Raises:
        ValueError: cache_type is neither f16 nor f32.
    """
    if cache_type not in _TYPES:
        raise ValueError(f"cache_type is {cache_type!r}, must be one of {', '.join(_TYPES)}")
    return _TYPES[cache_type]


def create_layer(layer: AttentionCache, blocks: int, block_size: int, cache_type: CacheType) -> NativeLayerCache:
    """Zeroed memory, which the system hands out page by page as it is written to."""
    if blocks < 0 or block_size < 1:
        raise ValueError(f"blocks is {blocks} and block_size {block_size}, must be at least 0 and 1")
    kind = element_type(cache_type)
    groups = -(-block_size // LANES)
    padded_dim = _padded(layer.head_dim)
    return NativeLayerCache(
        keys=np.zeros((blocks, layer.kv_heads, groups, layer.head_dim, LANES), kind),
        values=np.zeros((blocks, layer.kv_heads, block_size, padded_dim), kind),
    )


def bytes_per_position(layers: Sequence[AttentionCache], cache_type: CacheType) -> int:
    """Bytes that a position takes in all layers, where block_size is a multiple of 8."""
    elements = sum(layer.kv_heads * (layer.head_dim + _padded(layer.head_dim)) for layer in layers)
    return elements * np.dtype(element_type(cache_type)).itemsize


def _padded(head_dim: int) -> int:
    return -(-head_dim // LANES) * LANES
