"""Attention over a paged cache: right, and the same bits for every way of getting there."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.ops.base import AttentionCache, CacheType
from freehold.ops.batch import Batch
from freehold.ops.native import NativeOps
from tests.native.sequences import (
    STORED,
    Case,
    Sequence,
    attend,
    cuttings,
    dirty_cache,
    formula,
    random_sequence,
    through_codes,
    whole,
)

CASES = [
    Case(8, 2, 64),
    Case(4, 4, 13, window=9),
    Case(6, 2, 20, window=1),
    Case(7, 1, 8),
    Case(3, 3, 5, window=4),
    Case(10, 2, 33),
    Case(8, 1, 80, window=40),
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
    head_dim=st.integers(1, 40) | st.sampled_from([64, 80, 96]),
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
    for cache_type, stored in STORED.items():
        expected = formula(sequence.q, stored(sequence.k), stored(sequence.v), case.rules, **case.of_heads)
        np.testing.assert_allclose(whole(NativeOps(cache_type), case, sequence), expected, atol=3e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("cache_type", STORED)
def test_chunks_and_blocks_change_no_bit(isa: str, cache_type: CacheType, case: Case) -> None:
    ops = NativeOps(cache_type)
    tokens = 75
    sequence = random_sequence(1, tokens, case)
    expected = whole(ops, case, sequence)
    for block_size, steps, blocks in cuttings(tokens):
        cache = dirty_cache(ops, case, block_size)
        results = [attend(ops, case, [(sequence.rows(first, last), first, blocks)], cache) for first, last in steps]
        np.testing.assert_array_equal(np.concatenate([rows for [rows] in results]), expected)


@pytest.mark.parametrize("cache_type", STORED)
def test_neighbours_in_a_batch_change_no_bit(isa: str, cache_type: CacheType) -> None:
    case = Case(6, 2, 40, window=30, chunk=32, softcap=3.0, sinks=True, slopes=True)
    ops = NativeOps(cache_type)
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


@pytest.mark.parametrize("cache_type", STORED)
def test_a_prefix_may_be_shared(isa: str, cache_type: CacheType) -> None:
    case = Case(4, 2, 16)
    ops = NativeOps(cache_type)
    long = random_sequence(40, 32, case)
    cache = dirty_cache(ops, case, 16)
    attend(ops, case, [(long, 0, [3, 5])], cache)
    tail = random_sequence(41, 9, case)
    [result] = attend(ops, case, [(tail, 16, [3, 6])], cache)
    both = Sequence(*(np.concatenate([getattr(long, name)[:16], getattr(tail, name)]) for name in "qkv"))
    np.testing.assert_array_equal(result, whole(ops, case, both)[16:])


@pytest.mark.parametrize("case", [Case(8, 4, 24), Case(37, 1, 8, slopes=True)], ids=str)
@pytest.mark.parametrize("cache_type", STORED)
def test_the_number_of_threads_changes_nothing(isa: str, cache_type: CacheType, case: Case) -> None:
    """Not even where heads are spread over threads, since there are fewer KV heads than threads."""
    for tokens in (1, 90):
        sequence = random_sequence(50, tokens, case)
        results = []
        for threads in (1, 2, 5, 16):
            _kernels.set_threads(threads)
            results.append(whole(NativeOps(cache_type), case, sequence))
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("cache_type", STORED)
def test_a_later_row_that_is_not_a_number_leaves_earlier_ones_alone(isa: str, cache_type: CacheType) -> None:
    case = Case(4, 2, 16)
    sequence = random_sequence(60, 20, case)
    ops = NativeOps(cache_type)
    clean = whole(ops, case, sequence)
    for wrong in (np.nan, np.inf):
        for array in (sequence.k, sequence.v):
            array[13] = wrong
        result = whole(ops, case, sequence)
        np.testing.assert_array_equal(result[:13], clean[:13])
        assert np.isnan(result[13:]).all()


@pytest.mark.parametrize("size", [1e30, 1.0, 1e-4, 1e-30, 1e-40, 0.0])
def test_codes_hold_values_of_every_size(isa: str, size: float) -> None:
    """The only position's value comes back as its codes hold it, each group within half a step of its own scale."""
    case = Case(1, 1, 80)
    sequence = random_sequence(80, 1, case)
    sequence.v[:] *= np.float32(size)
    sequence.v[:, :, 32:64] *= np.float32(1e-3)
    result = whole(NativeOps("q8"), case, sequence)
    np.testing.assert_array_equal(result, through_codes(sequence.v)[0])
    for group in (slice(0, 32), slice(32, 64), slice(64, 80)):
        value = sequence.v[0, 0, group]
        np.testing.assert_allclose(result[0, group], value, atol=max(np.abs(value).max() / 252, 2.0**-133))


def test_the_size_of_a_cache_is_what_it_says() -> None:
    layers = [AttentionCache(2, 64), AttentionCache(3, 24)]
    elements, scales = 2 * (2 * 64 + 3 * 24), 2 * (2 * 2 + 3 * 1)
    for cache_type, size in (("q8", elements + 2 * scales), ("f16", 2 * elements), ("f32", 4 * elements)):
        ops = NativeOps(cache_type)  # type: ignore[arg-type]
        assert ops.cache_bytes(layers) == size
        arrays = [getattr(cache, one.name) for cache in ops.create_cache(layers, 5, 16) for one in fields(cache)]
        assert sum(array.nbytes for array in arrays if array is not None) == 5 * 16 * size


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="cache_type is 'q4', must be one of q8, f16, f32"):
        NativeOps("q4")  # type: ignore[arg-type]
    ops = NativeOps()
    for blocks, block_size in ((-1, 16), (1, 0), (1, -1)):
        with pytest.raises(ValueError, match="must be at least"):
            ops.create_cache([AttentionCache(1, 8)], blocks, block_size)
    case = Case(2, 1, 8)
    sequence = random_sequence(71, 3, case)
    late = replace(Batch.whole([[0] * 3]), positions=np.arange(1, 4, dtype=np.int32))
    with pytest.raises(ValueError, match="without a cache a sequence begins at position 0, but one begins at 1"):
        ops.attention(sequence.q, sequence.k, sequence.v, late, None, rules=case.rules)
