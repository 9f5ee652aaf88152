"""Attention over a paged cache: right, and the same bits for every way of getting there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.ops.base import AttentionCache, AttentionRules
from freehold.ops.batch import Batch
from freehold.ops.native import CacheType, NativeLayerCache, NativeOps
from tests.native import reference

SCALE = 0.31
CACHE_BLOCKS = 80


@dataclass(frozen=True)
class Case:
    heads: int
    kv_heads: int
    head_dim: int
    window: int | None = None


CASES = [Case(8, 2, 64), Case(4, 4, 13, 9), Case(6, 2, 20, 1), Case(7, 1, 8), Case(3, 3, 5, 4), Case(10, 2, 33)]


@dataclass(frozen=True)
class Sequence:
    q: reference.Float32Array
    k: reference.Float32Array
    v: reference.Float32Array

    def rows(self, start: int, stop: int) -> Sequence:
        return Sequence(self.q[start:stop], self.k[start:stop], self.v[start:stop])


def random_sequence(seed: int, tokens: int, case: Case) -> Sequence:
    """Views of a fused projection, whose rows lie apart."""
    widths = [case.heads, case.heads + case.kv_heads, case.heads + 2 * case.kv_heads]
    fused = reference.random_values(seed, tokens, widths[-1] * case.head_dim).reshape(tokens, -1, case.head_dim)
    q, k, v, _ = np.split(fused, widths, axis=1)
    return Sequence(q, k, v)


def attend(
    ops: NativeOps, case: Case, chunks: list[tuple[Sequence, int, list[int]]], cache: NativeLayerCache
) -> list[reference.Float32Array]:
    """One step over chunks of several sequences: rows, first position and cache blocks of each."""
    lengths = [len(sequence.q) for sequence, _, _ in chunks]
    batch = Batch(
        token_ids=np.zeros(sum(lengths), np.int32),
        positions=np.concatenate([np.arange(s, s + n) for (_, s, _), n in zip(chunks, lengths, strict=True)]).astype(
            np.int32
        ),
        offsets=np.cumsum([0, *lengths]).astype(np.int32),
        block_tables=np.concatenate([blocks for _, _, blocks in chunks]).astype(np.int32),
        block_offsets=np.cumsum([0, *(len(blocks) for _, _, blocks in chunks)]).astype(np.int32),
        logit_rows=np.zeros(0, np.int32),
    )
    q, k, v = (np.concatenate([getattr(sequence, name) for sequence, _, _ in chunks]) for name in "qkv")
    out = ops.attention(q, k, v, batch, cache, rules=AttentionRules(SCALE, window=case.window))
    return np.split(out, batch.offsets[1:-1])


def whole(ops: NativeOps, case: Case, sequence: Sequence) -> reference.Float32Array:
    """The sequence alone, at once, without a cache."""
    batch = Batch.whole([[0] * len(sequence.q)])
    return ops.attention(
        sequence.q, sequence.k, sequence.v, batch, None, rules=AttentionRules(SCALE, window=case.window)
    )


def dirty_cache(ops: NativeOps, case: Case, block_size: int) -> NativeLayerCache:
    """What earlier sequences left behind must not matter, not even NaN."""
    [cache] = ops.create_cache([AttentionCache(case.kv_heads, case.head_dim)], CACHE_BLOCKS, block_size)
    assert isinstance(cache, NativeLayerCache)
    cache.keys.fill(np.nan)
    cache.values.fill(np.nan)
    return cache


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    tokens=st.integers(1, 70),
    kv_heads=st.integers(1, 3),
    group=st.integers(1, 5),
    head_dim=st.integers(1, 40),
    window=st.none() | st.integers(1, 80),
    seed=st.integers(0, 999),
)
def test_equals_the_formula_in_float64(
    isa: str, *, tokens: int, kv_heads: int, group: int, head_dim: int, window: int | None, seed: int
) -> None:
    case = Case(kv_heads * group, kv_heads, head_dim, window)
    sequence = random_sequence(seed, tokens, case)
    expected = reference.attention(sequence.q, sequence.k, sequence.v, SCALE, window)
    np.testing.assert_allclose(whole(NativeOps("f32"), case, sequence), expected, atol=2e-6)

    halves = replace(sequence, **{name: getattr(sequence, name).astype(np.float16) for name in "kv"})
    expected = reference.attention(sequence.q, halves.k, halves.v, SCALE, window)
    np.testing.assert_allclose(whole(NativeOps("f16"), case, sequence), expected, atol=2e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("cache_type", ["f16", "f32"])
def test_chunks_and_blocks_change_no_bit(isa: str, cache_type: CacheType, case: Case) -> None:
    ops = NativeOps(cache_type)
    tokens = 75
    sequence = random_sequence(1, tokens, case)
    expected = whole(ops, case, sequence)
    rng = np.random.default_rng(2)
    for block_size in (1, 3, 8, 16, 20):
        for chunks in ([75], [1] * 75, [16] * 5, [7, 1, 40, 27]):
            cache = dirty_cache(ops, case, block_size)
            blocks = list(rng.permutation(CACHE_BLOCKS)[: -(-tokens // block_size)])
            results, start = [], 0
            for count in chunks:
                rows = sequence.rows(start, start + count)
                results += attend(ops, case, [(rows, start, blocks)], cache)
                start += count
            np.testing.assert_array_equal(np.concatenate(results), expected)


def test_neighbours_in_a_batch_change_no_bit(isa: str) -> None:
    case = Case(6, 2, 24, 30)
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


def test_the_number_of_threads_changes_nothing(isa: str) -> None:
    case = Case(8, 4, 24)
    sequence = random_sequence(50, 90, case)
    results = []
    for threads in (1, 2, 5):
        _kernels.set_threads(threads)
        results.append(whole(NativeOps(), case, sequence))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


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
    case = Case(2, 1, 8)
    with pytest.raises(ValueError, match="window is 0, must be at least 1"):
        whole(ops, replace(case, window=0), random_sequence(70, 3, case))
    for blocks, block_size in ((-1, 16), (1, 0), (1, -1)):
        with pytest.raises(ValueError, match="must be at least"):
            ops.create_cache([AttentionCache(1, 8)], blocks, block_size)
    sequence = random_sequence(71, 3, case)
    late = replace(Batch.whole([[0] * 3]), positions=np.arange(1, 4, dtype=np.int32))
    with pytest.raises(ValueError, match="without a cache a sequence begins at position 0, but one begins at 1"):
        ops.attention(sequence.q, sequence.k, sequence.v, late, None, rules=AttentionRules(SCALE))
