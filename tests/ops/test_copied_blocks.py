"""A copied block holds what the other holds, and nothing else changes."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch

from freehold.ops import create_ops
from freehold.ops.base import AttentionCache, CacheKind, LatentCache

BLOCKS, SIZE = 5, 12


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("layer", [AttentionCache(2, 9), LatentCache(6, 2)])
def test_only_the_target_changes(backend: Any, layer: CacheKind) -> None:
    ops = create_ops(backend, exact=False)
    (cache,) = ops.create_cache([layer], BLOCKS, SIZE)
    parts = [np.asarray(part) for part in (getattr(cache, field.name) for field in fields(cache)) if _is_array(part)]
    for part in parts:
        blocks = part.reshape(BLOCKS, -1)
        blocks[...] = np.arange(blocks.size).reshape(blocks.shape) % 1000
    expected = [part.reshape(BLOCKS, -1)[[0, 3, 2, 3, 4]] for part in parts]
    ops.copy_block(cache, 3, 1)
    assert all(np.array_equal(part.reshape(BLOCKS, -1), wanted) for part, wanted in zip(parts, expected, strict=True))


def _is_array(part: object) -> bool:
    return isinstance(part, np.ndarray | torch.Tensor)
