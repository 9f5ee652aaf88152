"""A copied block holds what the other holds, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from freehold.ops import create_ops
from freehold.ops.base import CACHE_TYPES, AttentionCache, CacheKind, CacheType, LatentCache

BLOCKS, SIZE = 5, 12


@pytest.mark.parametrize("cache_type", CACHE_TYPES)
@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("layer", [AttentionCache(2, 9), LatentCache(6, 2)])
def test_only_the_target_changes(backend: Any, layer: CacheKind, cache_type: CacheType) -> None:
    ops = create_ops(backend, exact=False, cache_type=cache_type)
    (cache,) = ops.create_cache([layer], BLOCKS, SIZE)
    parts = list(arrays_of(cache))
    per_value = 2 if cache_type == "q8" else 1
    assert len(parts) == per_value * (2 if isinstance(layer, AttentionCache) else 1)
    for part in parts:
        blocks = part.reshape(BLOCKS, -1)
        blocks[...] = np.arange(blocks.size).reshape(blocks.shape) % 100
    expected = [part.reshape(BLOCKS, -1)[[0, 3, 2, 3, 4]] for part in parts]
    ops.copy_block(cache, 3, 1)
    assert all(np.array_equal(part.reshape(BLOCKS, -1), wanted) for part, wanted in zip(parts, expected, strict=True))


def arrays_of(kept: object) -> Iterator[npt.NDArray[Any]]:
    """The memory of a cache, whatever it is wrapped in."""
    if isinstance(kept, torch.Tensor):
        yield kept.view(torch.int16).numpy() if kept.dtype == torch.bfloat16 else kept.numpy()
    elif isinstance(kept, np.ndarray):
        yield kept
    elif is_dataclass(kept):
        for field in fields(kept):
            yield from arrays_of(getattr(kept, field.name))
