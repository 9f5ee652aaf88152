"""Linear attention on the native backend: against float64, bit by bit over chunks and batches, at its boundaries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.ops.base import DeltaCache, DeltaWeights
from freehold.ops.batch import Batch
from freehold.ops.native import NativeOps
from freehold.ops.native.cache import NativeStates
from tests.native.reference import Float32Array, Float64Array, random_values

SHAPES = [
    DeltaCache(key_heads=2, value_heads=6, key_dim=10, value_dim=14, width=4),
    DeltaCache(key_heads=2, value_heads=6, key_dim=10, value_dim=14, width=4, tiled=True),
    DeltaCache(key_heads=1, value_heads=2, key_dim=128, value_dim=128, width=4),
    DeltaCache(key_heads=3, value_heads=3, key_dim=1, value_dim=41, width=1),
    DeltaCache(key_heads=2, value_heads=2, key_dim=33, value_dim=8, width=7),
]


@dataclass
class Layer:
    """Random weights and inputs of a layer."""

    shape: DeltaCache
    weights: DeltaWeights
    qkv: Float32Array
    decay: Float32Array
    beta: Float32Array

    @staticmethod
    def random(shape: DeltaCache, tokens: int, seed: int = 0) -> Layer:
        heads = shape.value_heads
        weights = DeltaWeights(
            random_values(seed, shape.channels, shape.width) * np.float32(0.5),
            -np.exp(random_values(seed + 1, heads)),
            random_values(seed + 2, heads),
        )
        # Slices of something wider, as layers have them.
        wide = random_values(seed + 3, tokens, shape.channels + 2 * heads + 3)
        decay, beta = wide[:, shape.channels : shape.channels + heads], wide[:, -heads:]
        return Layer(shape, weights, wide[:, : shape.channels], decay, beta)

    def run(self, rows: slice | np.ndarray, batch: Batch, cache: NativeStates | None) -> Float32Array:
        return NativeOps().delta_rule(
            self.qkv[rows], self.decay[rows], self.beta[rows], batch, cache, weights=self.weights, shape=self.shape
        )

    def cache(self, slots: int) -> NativeStates:
        (cache,) = NativeOps().create_cache([self.shape], 1, 8, slots)
        assert isinstance(cache, NativeStates)
        return cache


def batch_of(lengths: list[int], reads: list[int], writes: list[int]) -> Batch:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return replace(
        Batch.whole([[0] * max(length, 1) for length in lengths]),
        offsets=offsets,
        state_reads=np.array(reads, np.int32),
        state_writes=np.array(writes, np.int32),
    )


def expected(layer: Layer) -> tuple[Float64Array, Float64Array]:
    """What one sequence gives and leaves, in float64."""
    shape, tokens = layer.shape, len(layer.qkv)
    qkv = np.concatenate([np.zeros((shape.width - 1, shape.channels)), layer.qkv.astype(np.float64)])
    taps = layer.weights.convolution.astype(np.float64)
    mixed = np.stack([(qkv[row : row + shape.width] * taps.T).sum(0) for row in range(tokens)])
    mixed = mixed / (1 + np.exp(-mixed))
    keys = shape.key_heads * shape.key_dim
    q, k = (mixed[:, part * keys : (part + 1) * keys].reshape(tokens, shape.key_heads, -1) for part in (0, 1))
    v = mixed[:, 2 * keys :].reshape(tokens, shape.value_heads, -1)
    q, k = (x / np.sqrt((x**2).sum(-1, keepdims=True) + 1e-6) for x in (q, k))
    decay = layer.decay.astype(np.float64) + layer.weights.offsets
    factors = np.exp(layer.weights.rates * np.log1p(np.exp(decay)))
    strengths = 1 / (1 + np.exp(-layer.beta.astype(np.float64)))
    out = np.zeros((tokens, shape.value_heads, shape.value_dim))
    states = np.zeros((shape.value_heads, shape.key_dim, shape.value_dim))
    for head in range(shape.value_heads):
        read = head % shape.key_heads if shape.tiled else head // (shape.value_heads // shape.key_heads)
        for row in range(tokens):
            states[head] *= factors[row, head]
            error = v[row, head] - k[row, read] @ states[head]
            states[head] += np.outer(k[row, read], strengths[row, head] * error)
            out[row, head] = q[row, read] @ states[head] / np.sqrt(shape.key_dim)
    return out, states


def relative(found: Float32Array, wanted: Float64Array) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_one_sequence_against_float64(isa: str, shape: DeltaCache) -> None:
    layer = Layer.random(shape, 40)
    cache = layer.cache(3)
    found = layer.run(slice(None), batch_of([40], [-1], [1]), cache)
    out, states = expected(layer)
    assert relative(found, out) < 2e-5
    assert relative(cache.matrices[1], states) < 2e-5
    if shape.width > 1:
        assert np.array_equal(cache.inputs[1], layer.qkv[-(shape.width - 1) :])
    assert not cache.matrices[0].any()
    assert not cache.matrices[2].any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("chunk", [1, 2, 5, 39])
def test_chunks_give_the_same_bytes(isa: str, shape: DeltaCache, in_place: bool, chunk: int) -> None:
    layer = Layer.random(shape, 40)
    whole = layer.cache(1)
    at_once = layer.run(slice(None), batch_of([40], [-1], [0]), whole)
    cache, parts, slot = layer.cache(2), [], -1
    for first in range(0, 40, chunk):
        last = min(first + chunk, 40)
        written = 0 if in_place or slot == 1 else 1
        parts.append(layer.run(slice(first, last), batch_of([last - first], [slot], [written]), cache))
        slot = written
    assert np.array_equal(np.concatenate(parts), at_once)
    assert np.array_equal(cache.matrices[slot], whole.matrices[0])
    assert np.array_equal(cache.inputs[slot], whole.inputs[0])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 4), st.sampled_from(SHAPES))
@settings(deadline=None, max_examples=40)
def test_in_a_batch_as_alone(lengths: list[int], threads: int, shape: DeltaCache) -> None:
    _kernels.set_threads(threads)
    layer = Layer.random(shape, sum(lengths), seed=len(lengths))
    count = len(lengths)
    cache = layer.cache(2 * count)
    cache.inputs[:] = random_values(1, *cache.inputs.shape)
    cache.matrices[:] = random_values(2, *cache.matrices.shape)
    # Every other one goes on from a slot; all write to a slot of their own.
    reads = [2 * number if number % 2 else -1 for number in range(count)]
    before = NativeStates(cache.inputs.copy(), cache.matrices.copy())
    together = layer.run(slice(None), batch_of(lengths, reads, [2 * number + 1 for number in range(count)]), cache)
    offsets = np.cumsum([0, *lengths])
    for number, (first, last) in enumerate(pairwise(offsets)):
        alone = NativeStates(before.inputs.copy(), before.matrices.copy())
        found = layer.run(slice(first, last), batch_of([last - first], [reads[number]], [2 * number + 1]), alone)
        assert np.array_equal(found, together[first:last])
        for kept, kept_alone in ((cache.inputs, alone.inputs), (cache.matrices, alone.matrices)):
            assert np.array_equal(kept[2 * number + 1], kept_alone[2 * number + 1])
            assert np.array_equal(kept[2 * number], kept_alone[2 * number])


def test_several_go_on_from_the_same_slot() -> None:
    layer = Layer.random(SHAPES[0], 9)
    cache = layer.cache(3)
    layer.run(slice(0, 5), batch_of([5], [-1], [0]), cache)
    rows = np.array([5, 6, 7, 8, 5, 6, 7, 8])
    found = layer.run(rows, batch_of([4, 4], [0, 0], [1, 2]), cache)
    assert np.array_equal(found[:4], found[4:])
    assert np.array_equal(cache.matrices[1], cache.matrices[2])


def test_without_a_cache_everyone_begins_anew() -> None:
    layer = Layer.random(SHAPES[2], 30)
    without = layer.run(slice(None), batch_of([10, 20], [], []), None)
    assert np.array_equal(without, layer.run(slice(None), batch_of([10, 20], [-1, -1], [0, 1]), layer.cache(2)))


def test_what_lay_in_a_slot_makes_no_difference_to_who_begins_anew() -> None:
    layer = Layer.random(SHAPES[0], 6)
    clean, stale = layer.cache(2), layer.cache(2)
    stale.matrices[:] = np.nan
    stale.inputs[:] = np.nan
    batch = batch_of([2, 4], [-1, -1], [1, 0])
    assert np.array_equal(layer.run(slice(None), batch, stale), layer.run(slice(None), batch, clean))
    assert np.array_equal(stale.matrices, clean.matrices)
    assert np.array_equal(stale.inputs, clean.inputs)


def test_a_sequence_without_rows_hands_its_state_on() -> None:
    layer = Layer.random(SHAPES[0], 3)
    cache = layer.cache(3)
    cache.matrices[:] = random_values(5, *cache.matrices.shape)
    cache.inputs[:] = random_values(6, *cache.inputs.shape)
    layer.run(slice(None), batch_of([0, 3], [0, -1], [1, 2]), cache)
    assert np.array_equal(cache.matrices[1], cache.matrices[0])
    assert np.array_equal(cache.inputs[1], cache.inputs[0])


@pytest.mark.parametrize("tokens", [0, 1])
def test_states_survive_extreme_controls(isa: str, tokens: int) -> None:
    layer = Layer.random(SHAPES[0], tokens)
    for value in (-1e30, -90.0, 90.0, 1e30):
        layer.decay[:] = value
        layer.beta[:] = value
        cache = layer.cache(1)
        assert np.isfinite(layer.run(slice(None), batch_of([tokens], [-1], [0]), cache)).all()
        assert np.isfinite(cache.matrices).all()


@pytest.mark.parametrize(("reads", "writes", "message"), [
    ([-2, 0], [1, 2], "reads slot -2"),
    ([3, 0], [1, 2], "reads slot 3"),
    ([-1, -1], [1, 3], "writes slot 3"),
    ([-1, -1], [-1, 2], "writes slot -1"),
    ([-1, -1], [1, 1], "slot 1 is written by sequences 0 and 1"),
    ([2, 0], [1, 2], "slot 2 is read by sequence 0 and written by sequence 1"),
    ([0], [1], r"state_reads.shape\[0\] is 1, must be 2"),
    ([-1, -1], [1], r"state_writes.shape\[0\] is 1, must be 2"),
])  # fmt: skip
def test_slots_that_cannot_be_used_are_refused(reads: list[int], writes: list[int], message: str) -> None:
    layer = Layer.random(SHAPES[0], 4)
    with pytest.raises(ValueError, match=message):
        layer.run(slice(None), batch_of([2, 2], reads, writes), layer.cache(3))


@pytest.mark.parametrize(("offsets", "message"), [([0, 3], "end at 3"), ([1, 4], "begin at 1"), ([], "0 entries")])
def test_offsets_that_do_not_fit_the_rows_are_refused(offsets: list[int], message: str) -> None:
    layer = Layer.random(SHAPES[0], 4)
    batch = replace(batch_of([4], [-1], [0]), offsets=np.array(offsets, np.int32))
    with pytest.raises(ValueError, match=message):
        layer.run(slice(None), batch, None)


def test_arrays_of_the_wrong_shape_are_refused() -> None:
    layer = Layer.random(SHAPES[0], 4)
    batch = batch_of([4], [-1], [0])
    with pytest.raises(ValueError, match=r"qkv.shape\[1\] is 103, must be 124"):
        replace(layer, qkv=layer.qkv[:, :103]).run(slice(None), batch, None)
    with pytest.raises(ValueError, match=r"decay.shape\[0\] is 3, must be 4"):
        replace(layer, decay=layer.decay[:3]).run(slice(None), batch, None)
    cache = layer.cache(1)
    narrow = replace(cache, matrices=np.ascontiguousarray(cache.matrices[:, :, :9]))
    with pytest.raises(ValueError, match=r"matrices.shape\[2\] is 9, must be 10"):
        layer.run(slice(None), batch, narrow)
    layer.shape = replace(layer.shape, key_heads=4)
    with pytest.raises(ValueError, match="not a multiple of 4"):
        layer.run(slice(None), batch, None)


def test_the_bytes_of_a_slot() -> None:
    layer = Layer.random(SHAPES[0], 1)
    cache = layer.cache(7)
    assert NativeOps().state_bytes([layer.shape, layer.shape]) == 2 * (cache.inputs.nbytes + cache.matrices.nbytes) // 7
    with pytest.raises(ValueError, match="states is -1"):
        layer.cache(-1)
