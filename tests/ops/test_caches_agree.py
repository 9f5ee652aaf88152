"""Caches hold the same on both backends, to the last bit of their codes, and attention over them gives the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from freehold.ops.base import (
    CACHE_TYPES,
    Array,
    AttentionCache,
    AttentionRules,
    CacheKind,
    CacheType,
    LatentCache,
    LayerCache,
    Ops,
)
from freehold.ops.batch import Batch
from freehold.ops.native import NativeOps
from freehold.ops.torch import TorchOps
from freehold.ops.torch.cache import decode, encode
from tests.native.sequences import STORED
from tests.ops.test_rows_agree import Float32Array, values

BLOCK, TOKENS, CHUNK = 8, 21, 9
SIZES = [1.0, 1e30, 1e-3, 1e-30, 1e-42, 0.0]


def steps() -> list[tuple[slice, Batch]]:
    """One sequence in chunks, over blocks in any order."""
    blocks = np.array([3, 0, 2], np.int32)
    found = []
    for first in range(0, TOKENS, CHUNK):
        rows = slice(first, min(first + CHUNK, TOKENS))
        count = rows.stop - first
        batch = replace(
            Batch.whole([[0] * count]),
            positions=np.arange(first, rows.stop, dtype=np.int32),
            block_tables=blocks,
            block_offsets=np.array([0, len(blocks)], np.int32),
        )
        found.append((rows, batch))
    return found


def both(cache_type: CacheType) -> list[Ops]:
    return [NativeOps(cache_type), TorchOps(cache_type=cache_type)]


def agree(
    cache_type: CacheType, layer: CacheKind, arrays: list[Float32Array], attend: Callable[..., Array], *, cached: bool
) -> None:
    """Both give the same, in steps over a cache or at once without one.

    Args:
        attend: called with operations, rows of the arrays, batch and cache.
    """
    results = []
    for ops in both(cache_type):
        cache = ops.create_cache([layer], 4, BLOCK)[0] if cached else None
        own = arrays if ops.name == "native" else [torch.from_numpy(one) for one in arrays]
        work = steps() if cached else [(slice(0, TOKENS), Batch.whole([[0] * TOKENS]))]
        rows = [attend(ops, *(one[part] for one in own), batch, cache) for part, batch in work]
        results.append(np.concatenate([ops.to_numpy(one) for one in rows]))
    np.testing.assert_allclose(results[0], results[1], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("features", [1, 32, 33, 80])
def test_codes_are_made_as_the_definition_says(features: int) -> None:
    x = values(1, 40, len(SIZES), features) * np.array(SIZES, np.float32)[:, None]
    held = decode(*encode(torch.from_numpy(x))).numpy()
    np.testing.assert_array_equal(held, STORED["q8"](x))


def test_what_is_not_finite_stays_so_and_alone() -> None:
    x = values(2, 3, 1, 64)
    x[0, 0, 3], x[1, 0, 40] = np.nan, -np.inf
    held = decode(*encode(torch.from_numpy(x))).numpy()
    finite = [[False, True], [True, False], [True, True]]
    for row, groups in enumerate(finite):
        for group, expected in enumerate(groups):
            assert np.isfinite(held[row, 0, 32 * group :][:32]).all() == expected
            assert np.isfinite(held[row, 0, 32 * group :][:32]).any() == expected


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("cache_type", CACHE_TYPES)
def test_attention_over_both_caches(cache_type: CacheType, cached: bool) -> None:
    rules = AttentionRules(0.3, window=13)
    heads = values(1, TOKENS, 10, 40)

    def attend(ops: Ops, heads: Array, batch: Batch, cache: LayerCache | None) -> Array:
        return ops.attention(heads[:, :6], heads[:, 6:8], heads[:, 8:], batch, cache, rules=rules)

    agree(cache_type, AttentionCache(2, 40), [heads], attend, cached=cached)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("cache_type", CACHE_TYPES)
def test_latent_attention_over_both_caches(cache_type: CacheType, cached: bool) -> None:
    rules, shape = AttentionRules(0.3), LatentCache(36, 8)

    def attend(ops: Ops, q: Array, k: Array, batch: Batch, cache: LayerCache | None) -> Array:
        return ops.latent_attention(q, k, batch, cache, shape=shape, rules=rules)

    agree(cache_type, shape, [values(1, TOKENS, 3, 44), values(2, TOKENS, 44)], attend, cached=cached)


def test_a_position_takes_what_both_say() -> None:
    layers: list[CacheKind] = [AttentionCache(2, 64), LatentCache(36, 8)]
    sizes: dict[CacheType, int] = {"q8": 2 * 2 * 68 + 48, "f16": 2 * 2 * 128 + 88, "f32": 2 * 2 * 256 + 176}
    for cache_type, size in sizes.items():
        assert [ops.cache_bytes(layers) for ops in both(cache_type)] == [size, size]


def test_a_type_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="cache_type is 'q4', must be one of q8, f16, f32"):
        TorchOps(cache_type="q4")  # type: ignore[arg-type]
