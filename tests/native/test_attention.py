"""Attention over a paged cache: right, and the same bits for every way of getting there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.ops.base import AttentionCache
from freehold.ops.batch import Batch
from freehold.ops.native import CacheType, NativeLayerCache, NativeOps
from tests.native.sequences import (
    Case,
    Sequence,
    attend,
    cuttings,
    dirty_cache,
    formula,
    random_sequence,
    whole,
)

CASES = [
    Case(8, 2, 64),
    Case(4, 4, 13, window=9),
    Case(6, 2, 20, window=1),
    Case(7, 1, 8),
    Case(3, 3, 5, window=4),
    Case(10, 2, 33),
    Case(6, 2, 20, chunk=16),
    Case(4, 1, 9, softcap=1.5),
    Case(6, 3, 16, sinks=True),
    Case(5, 5, 12, slopes=True),
    Case(9, 3, 17, window=30, chunk=24, softcap=2.0, sinks=True, slopes=True),
]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    tokens=st.integers(1, 70),
    kv_heads=st.integers(1, 3),
    group=st.integers(1, 5),
    head_dim=st.integers(1, 40),
    window=st.none() | st.integers(1, 80),
    chunk=st.none() | st.integers(1, 80),
    softcap=st.none() | st.floats(0.5, 50),
    causal=st.booleans(),
    sinks=st.booleans(),
    slopes=st.booleans(),
    seed=st.integers(0, 999),
)
def test_equals_the_formula_in_float64(
    isa: str,
    *,
    tokens: int,
    kv_heads: int,
    group: int,
    head_dim: int,
    window: int | None,
    chunk: int | None,
    softcap: float | None,
    causal: bool,
    sinks: bool,
    slopes: bool,
    seed: int,
) -> None:
    limits = (window, chunk) if causal else (None, None)
    case = Case(kv_heads * group, kv_heads, head_dim, *limits, softcap, causal, sinks, slopes)
    sequence = random_sequence(seed, tokens, case)
    expected = formula(sequence.q, sequence.k, sequence.v, case.rules, **case.of_heads)
    np.testing.assert_allclose(whole(NativeOps("f32"), case, sequence), expected, atol=3e-6)

    halves = replace(sequence, **{name: getattr(sequence, name).astype(np.float16) for name in "kv"})
    expected = formula(sequence.q, halves.k, halves.v, case.rules, **case.of_heads)
    np.testing.assert_allclose(whole(NativeOps("f16"), case, sequence), expected, atol=3e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("cache_type", ["f16", "f32"])
def test_chunks_and_blocks_change_no_bit(isa: str, cache_type: CacheType, case: Case) -> None:
    ops = NativeOps(cache_type)
    tokens = 75
    sequence = random_sequence(1, tokens, case)
    expected = whole(ops, case, sequence)
    for block_size, steps, blocks in cuttings(tokens):
        cache = dirty_cache(ops, case, block_size)
        results = [attend(ops, case, [(sequence.rows(first, last), first, blocks)], cache) for first, last in steps]
        np.testing.assert_array_equal(np.concatenate([rows for [rows] in results]), expected)


def test_neighbours_in_a_batch_change_no_bit(isa: str) -> None:
    case = Case(6, 2, 24, window=30, chunk=32, softcap=3.0, sinks=True, slopes=True)
    ops = NativeOps()
    lengths = [1, 50, 17, 33]
    sequences = [random_sequence(10 + i, n, case) for i, n in enumerate(lengths)]
    alone = [whole(ops, case, sequence) for sequence in sequences]
    cache = dirty_cache(ops, case, 16)
    blocks = [[4], [9, 1, 7, 2], [3, 0], [5, 8, 6]]
    chunks = [(sequence, 0, table) for sequence, table in zip(sequences, blocks, strict=True)]
    for result, expected in zip(attend(ops, case, chunks, cache), alone, strict=True):
        np.testing.assert_array_equal(result, expected)
    # Then one more row of each, as in decoding, beside a fresh prefill.
    longer = [random_sequence(10 + i, n + 1, case) for i, n in enumerate(lengths)]
    decoding = [0, 2, 3]
    fresh = random_sequence(30, 40, case)
    steps = [(longer[i].rows(lengths[i], lengths[i] + 1), lengths[i], blocks[i]) for i in decoding]
    cached = [sequences[i] for i in decoding]
    results = attend(ops, case, [*steps, (fresh, 0, [20, 21, 22])], cache)
    for result, step, before in zip(results, steps, cached, strict=False):
        both = Sequence(*(np.concatenate([getattr(before, name), getattr(step[0], name)]) for name in "qkv"))
        np.testing.assert_array_equal(result[0], whole(ops, case, both)[-1])
    np.testing.assert_array_equal(results[-1], whole(ops, case, fresh))


def test_a_prefix_may_be_shared(isa: str) -> None:
    case = Case(4, 2, 16)
    ops = NativeOps()
    long = random_sequence(40, 32, case)
    cache = dirty_cache(ops, case, 16)
    attend(ops, case, [(long, 0, [3, 5])], cache)
    tail = random_sequence(41, 9, case)
    [result] = attend(ops, case, [(tail, 16, [3, 6])], cache)
    both = Sequence(*(np.concatenate([getattr(long, name)[:16], getattr(tail, name)]) for name in "qkv"))
    np.testing.assert_array_equal(result, whole(ops, case, both)[16:])


@pytest.mark.parametrize("case", [Case(8, 4, 24), Case(37, 1, 8, slopes=True)], ids=str)
def test_the_number_of_threads_changes_nothing(isa: str, case: Case) -> None:
    """Not even where heads are spread over threads, since there are fewer KV heads than threads."""
    for tokens in (1, 90):
        sequence = random_sequence(50, tokens, case)
        results = []
        for threads in (1, 2, 5, 16):
            _kernels.set_threads(threads)
            results.append(whole(NativeOps(), case, sequence))
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])


def test_a_later_row_that_is_not_a_number_leaves_earlier_ones_alone(isa: str) -> None:
    case = Case(4, 2, 16)
    sequence = random_sequence(60, 20, case)
    clean = whole(NativeOps(), case, sequence)
    for array in (sequence.q, sequence.k, sequence.v):
        array[13] = np.nan
    result = whole(NativeOps(), case, sequence)
    np.testing.assert_array_equal(result[:13], clean[:13])
    assert np.isnan(result[13:]).all()


def test_the_size_of_a_cache_is_what_it_says() -> None:
    layers = [AttentionCache(2, 64), AttentionCache(3, 24)]
    for cache_type, bytes_each in (("f16", 2), ("f32", 4)):
        ops = NativeOps(cache_type)  # type: ignore[arg-type]
        assert ops.cache_bytes(layers) == 2 * (2 * 64 + 3 * 24) * bytes_each
        caches = ops.create_cache(layers, 5, 16)
        sizes = [cache.keys.nbytes + cache.values.nbytes for cache in caches if isinstance(cache, NativeLayerCache)]
        assert sum(sizes) == 5 * 16 * ops.cache_bytes(layers)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="cache_type is 'q8', must be one of f16, f32"):
        NativeOps("q8")  # type: ignore[arg-type]
    ops = NativeOps()
    for blocks, block_size in ((-1, 16), (1, 0), (1, -1)):
        with pytest.raises(ValueError, match="must be at least"):
            ops.create_cache([AttentionCache(1, 8)], blocks, block_size)
    case = Case(2, 1, 8)
    sequence = random_sequence(71, 3, case)
    late = replace(Batch.whole([[0] * 3]), positions=np.arange(1, 4, dtype=np.int32))
    with pytest.raises(ValueError, match="without a cache a sequence begins at position 0, but one begins at 1"):
        ops.attention(sequence.q, sequence.k, sequence.v, late, None, rules=case.rules)
