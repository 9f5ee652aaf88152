"""Latent attention over a paged cache: right, and the same bits for every way of getting there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.ops.base import AttentionCache, AttentionRules, CacheKind, CacheType, LatentCache
from freehold.ops.batch import Batch
from freehold.ops.native import NativeLatentCache, NativeOps
from tests.native.reference import Float32Array, random_values
from tests.native.sequences import CACHE_BLOCKS, SCALE, STORED, batch_of, cuttings, formula, soil

RULES = AttentionRules(SCALE)


@dataclass(frozen=True)
class Case:
    heads: int
    latent: int
    rotated: int

    @property
    def shape(self) -> LatentCache:
        return LatentCache(self.latent, self.rotated)


@dataclass(frozen=True)
class Rows:
    q: Float32Array
    k: Float32Array

    def part(self, start: int, stop: int) -> Rows:
        return Rows(self.q[start:stop], self.k[start:stop])


# The last has more heads than one piece of work takes.
CASES = [Case(5, 13, 6), Case(4, 16, 8), Case(1, 1, 0), Case(70, 40, 3)]


def random_rows(seed: int, tokens: int, case: Case) -> Rows:
    """Queries and keys of which each is part of something wider."""
    features = case.latent + case.rotated
    q = random_values(seed, tokens, (case.heads + 1) * features).reshape(tokens, case.heads + 1, features)
    return Rows(q[:, :-1], random_values(seed + 1, tokens, features + 5)[:, :features])


def attend(
    ops: NativeOps, case: Case, chunks: Sequence[tuple[Rows, int, list[int]]], cache: NativeLatentCache
) -> list[Float32Array]:
    """One step over chunks of several sequences: rows, first position and cache blocks of each."""
    batch = batch_of([(len(rows.k), start, blocks) for rows, start, blocks in chunks])
    q, k = (np.concatenate([getattr(rows, name) for rows, _, _ in chunks]) for name in "qk")
    out = ops.latent_attention(q, k, batch, cache, shape=case.shape, rules=RULES)
    return np.split(out, batch.offsets[1:-1])


def whole(ops: NativeOps, case: Case, rows: Rows) -> Float32Array:
    """The sequence alone, at once, without a cache."""
    batch = Batch.whole([[0] * len(rows.k)])
    return ops.latent_attention(rows.q, rows.k, batch, None, shape=case.shape, rules=RULES)


def dirty_cache(ops: NativeOps, case: Case, block_size: int) -> NativeLatentCache:
    """What earlier sequences left behind must not matter, not even NaN."""
    [cache] = ops.create_cache([case.shape], CACHE_BLOCKS, block_size)
    assert isinstance(cache, NativeLatentCache)
    soil(cache)
    return cache


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    tokens=st.integers(1, 70),
    heads=st.integers(1, 10) | st.sampled_from([64, 65, 130]),
    latent=st.integers(1, 40),
    rotated=st.integers(0, 20),
    seed=st.integers(0, 999),
)
def test_equals_the_formula_in_float64(
    isa: str, *, tokens: int, heads: int, latent: int, rotated: int, seed: int
) -> None:
    case = Case(heads, latent, rotated)
    rows = random_rows(seed, tokens, case)
    for cache_type, stored in STORED.items():
        keys = stored(rows.k)
        expected = formula(rows.q, keys[:, None], keys[:, None, :latent], RULES).reshape(tokens, heads, latent)
        np.testing.assert_allclose(whole(NativeOps(cache_type), case, rows), expected, atol=3e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("cache_type", STORED)
def test_chunks_and_blocks_change_no_bit(isa: str, cache_type: CacheType, case: Case) -> None:
    ops = NativeOps(cache_type)
    tokens = 75
    rows = random_rows(1, tokens, case)
    expected = whole(ops, case, rows)
    for block_size, steps, blocks in cuttings(tokens):
        cache = dirty_cache(ops, case, block_size)
        results = [attend(ops, case, [(rows.part(first, last), first, blocks)], cache) for first, last in steps]
        np.testing.assert_array_equal(np.concatenate([rows for [rows] in results]), expected)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("cache_type", STORED)
def test_neighbours_in_a_batch_change_no_bit(isa: str, cache_type: CacheType, case: Case) -> None:
    ops = NativeOps(cache_type)
    lengths = [1, 50, 17, 33]
    sequences = [random_rows(10 + 2 * i, n + 1, case) for i, n in enumerate(lengths)]
    alone = [whole(ops, case, rows) for rows in sequences]
    cache = dirty_cache(ops, case, 16)
    tables = [[4], [9, 1, 7, 2], [3, 0], [5, 8, 6]]
    prefill = [(rows.part(0, n), 0, table) for rows, n, table in zip(sequences, lengths, tables, strict=True)]
    for result, expected in zip(attend(ops, case, prefill, cache), alone, strict=True):
        np.testing.assert_array_equal(result, expected[:-1])
    # Then one more row of each, as in decoding, beside a fresh prefill.
    fresh = random_rows(30, 40, case)
    steps = [(rows.part(n, n + 1), n, table) for rows, n, table in zip(sequences, lengths, tables, strict=True)]
    *decoded, prefilled = attend(ops, case, [*steps, (fresh, 0, [20, 21, 22])], cache)
    for result, expected in zip(decoded, alone, strict=True):
        np.testing.assert_array_equal(result[0], expected[-1])
    np.testing.assert_array_equal(prefilled, whole(ops, case, fresh))


@pytest.mark.parametrize("cache_type", STORED)
def test_a_prefix_may_be_shared(isa: str, cache_type: CacheType) -> None:
    case = Case(6, 24, 8)
    ops = NativeOps(cache_type)
    long, tail = random_rows(40, 32, case), random_rows(42, 9, case)
    cache = dirty_cache(ops, case, 8)
    attend(ops, case, [(long, 0, [3, 5, 1, 2])], cache)
    [result] = attend(ops, case, [(tail, 8, [3, 6, 7])], cache)
    both = Rows(*(np.concatenate([getattr(long, name)[:8], getattr(tail, name)]) for name in "qk"))
    np.testing.assert_array_equal(result, whole(ops, case, both)[8:])


@pytest.mark.parametrize("cache_type", STORED)
def test_the_number_of_threads_changes_nothing(isa: str, cache_type: CacheType) -> None:
    case = Case(70, 24, 8)
    for tokens in (1, 60):
        rows = random_rows(50, tokens, case)
        results = []
        for threads in (1, 2, 5, 16):
            _kernels.set_threads(threads)
            results.append(whole(NativeOps(cache_type), case, rows))
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("cache_type", STORED)
def test_a_later_row_that_is_not_a_number_leaves_earlier_ones_alone(isa: str, cache_type: CacheType) -> None:
    case = Case(6, 16, 8)
    rows = random_rows(60, 20, case)
    ops = NativeOps(cache_type)
    clean = whole(ops, case, rows)
    for wrong in (np.nan, np.inf):
        rows.k[13] = wrong
        result = whole(ops, case, rows)
        np.testing.assert_array_equal(result[:13], clean[:13])
        assert np.isnan(result[13:]).all()


def test_scores_that_rise_and_scores_far_below_are_weighed_right(isa: str) -> None:
    """The first positions are outweighed more and more; then come some that count for nothing."""
    case = Case(4, 8, 8)
    rows = random_rows(70, 70, case)
    rows.q[:] = 1
    rows.k[:, 8:] = np.concatenate([np.linspace(-30, 30, 50), np.full(20, -60)])[:, None]
    expected = formula(rows.q, rows.k[:, None], rows.k[:, None, :8], RULES).reshape(70, 4, 8)
    np.testing.assert_allclose(whole(NativeOps("f32"), case, rows), expected, atol=2e-5)


def test_each_position_is_held_once() -> None:
    layers: list[CacheKind] = [LatentCache(512, 64), LatentCache(5, 2), AttentionCache(2, 8)]
    for cache_type, sizes in (("q8", (576 + 36, 7 + 2, 32 + 8)), ("f16", (1152, 14, 64)), ("f32", (2304, 28, 128))):
        ops = NativeOps(cache_type)  # type: ignore[arg-type]
        assert ops.cache_bytes(layers) == sum(sizes)
        for size, cache in zip(sizes[:2], ops.create_cache(layers, 3, 5)[:2], strict=True):
            assert isinstance(cache, NativeLatentCache)
            scales = 0 if cache.scales is None else cache.scales.nbytes
            assert cache.keys.nbytes + scales == 3 * 5 * size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": replace(RULES, window=4)}, "knows no rule but a scale"),
        ({"rules": replace(RULES, softcap=4.0)}, "knows no rule but a scale"),
        ({"rules": replace(RULES, causal=False)}, "knows no rule but a scale"),
        ({"shape": LatentCache(8, 7)}, "q has 16 features, but LatentCache.* has 15"),
        ({"k": np.zeros((3, 15), np.float32)}, r"k.shape\[1\] is 15, must be 16"),
        ({"k": np.zeros((4, 16), np.float32)}, r"k.shape\[0\] is 4, must be 3"),
        ({"shape": LatentCache(0, 16)}, "latent is 0, must be from 1"),
        ({"shape": LatentCache(17, -1)}, "latent is 17, must be from 1 to 16"),
        ({"batch": replace(Batch.whole([[0] * 3]), positions=np.arange(1, 4, dtype=np.int32))}, "begins at position 0"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    rows = random_rows(80, 3, Case(2, 8, 8))
    plain = {"q": rows.q, "k": rows.k, "batch": Batch.whole([[0] * 3]), "cache": None}
    arguments: dict[str, Any] = plain | {"shape": LatentCache(8, 8), "rules": RULES} | changes
    with pytest.raises(ValueError, match=message):
        NativeOps().latent_attention(**arguments)
