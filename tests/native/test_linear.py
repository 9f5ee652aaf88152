"""Products with packed weights: right, and the same bits whatever is computed beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.ops.native import NativeOps
from freehold.tensors import Tensor, TensorInfo, TensorType, WeightType
from tests.native import reference

ALL_TYPES = reference.FLOATS + reference.QUANTISED
# The fixture only chooses the instruction set, which stays the same for all examples of a test.
hypothesis_settings = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def close(x: reference.Float32Array, weight: _kernels.LinearWeight) -> None:
    """The product is within float32's rounding of its terms, those of codes and minimums taken separately."""
    values = np.abs(reference.all_rows(weight).astype(np.float64))
    terms = np.abs(x) @ values.T + 0.1 * np.abs(x).sum(axis=1, keepdims=True) * values.max()
    error = np.abs(NativeOps().linear(x, weight) - reference.linear(x, weight))
    assert np.all(error <= 1e-6 * terms + 1e-30)


@pytest.mark.parametrize("kind", ALL_TYPES)
@hypothesis_settings
@given(tokens=st.integers(1, 9), rows=st.integers(1, 70), columns=st.integers(1, 300), seed=st.integers(0, 999))
def test_equals_the_product_in_float64(
    isa: str, kind: TensorType, *, tokens: int, rows: int, columns: int, seed: int
) -> None:
    weight = reference.pack(reference.random_tensor(seed, kind, rows, reference.columns_for(kind, columns)))
    x = reference.random_values(seed, tokens, weight.inputs)
    close(x, weight)


@pytest.mark.parametrize("dtype", list(WeightType))
@hypothesis_settings
@given(rows=st.integers(1, 40), columns=st.integers(1, 100), seed=st.integers(0, 999))
def test_columns_need_not_fill_blocks(isa: str, dtype: WeightType, rows: int, columns: int, seed: int) -> None:
    weight = reference.pack(reference.random_tensor(seed, TensorType.F32, rows, columns), dtype)
    x = reference.random_values(seed, 5, columns)
    close(x, weight)


@pytest.mark.parametrize(("bits", "bound"), [(WeightType.Q8, 0.012), (WeightType.Q4, 0.11)])
def test_quantisation_stays_near_the_exact_product(isa: str, bits: WeightType, bound: float) -> None:
    """Rounding to a step of d adds noise of d / sqrt(12): for Gaussian weights and activations with their largest of 32
    near 2.1, that is 0.5 % of the result's deviation for each 8-bit side and 8 % for a 4-bit one."""
    tensor = reference.random_tensor(1, TensorType.F32, 256, 1024)
    x = reference.random_values(2, 16, 1024)
    exact = x.astype(np.float64) @ tensor.float32().astype(np.float64).T
    error = NativeOps().linear(x, reference.pack(tensor, bits)) - exact
    assert np.sqrt(np.mean(error**2)) < bound * exact.std()


@pytest.mark.parametrize("kind", ALL_TYPES)
def test_a_row_does_not_depend_on_the_rows_beside_it(isa: str, kind: TensorType) -> None:
    weight = reference.pack(reference.random_tensor(3, kind, 61, reference.columns_for(kind, 200)))
    x = reference.random_values(4, 33, weight.inputs)
    ops = NativeOps()
    alone = np.concatenate([ops.linear(row[None], weight) for row in x])
    for count in range(1, 34):
        np.testing.assert_array_equal(ops.linear(x[:count], weight), alone[:count])
        np.testing.assert_array_equal(ops.linear(x[33 - count :], weight), alone[33 - count :])


@pytest.mark.parametrize("kind", [TensorType.F32, TensorType.F16, TensorType.Q4_K, TensorType.FP8])
def test_the_number_of_threads_changes_nothing(isa: str, kind: TensorType) -> None:
    weight = reference.pack(reference.random_tensor(5, kind, 400, 256))
    x = reference.random_values(6, 40, 256)
    results = []
    for threads in (1, 2, 5):
        _kernels.set_threads(threads)
        results.append(NativeOps().linear(x, weight))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("kind", [TensorType.Q4_0, TensorType.Q8_0])
def test_integer_sums_are_exact_on_every_instruction_set(kind: TensorType) -> None:
    """With scales of one and activations that 8 bits hold, every result is a small integer."""
    rng = np.random.default_rng(7)
    bits = 4 if kind is TensorType.Q4_0 else 8
    codes = rng.integers(0, 16, (24, 96), np.uint8) if bits == 4 else rng.integers(-128, 128, (24, 96)).astype(np.int8)
    codes[0] = 15 if bits == 4 else -128  # the largest sums that there can be
    codes[1] = 0 if bits == 4 else 127
    offset = 8 if bits == 4 else 0
    packed = _kernels.empty(_kernels.packed_bytes("q4" if bits == 4 else "q8", 24, 96))
    _kernels.pack_codes(codes, "q4" if bits == 4 else "q8", 0, packed)
    scales = np.ones(24 * 96 // 32, np.float16)
    weight = _kernels.LinearWeight(
        [_kernels.Matrix("q4" if bits == 4 else "q8", 24, 96, packed, scales, offset=offset)]
    )
    x = rng.integers(-127, 128, (7, 96)).astype(np.float32)
    x[:, ::32] = 127
    x[0], x[1] = 127, -127
    for isa in _kernels.available_isas():
        _kernels.use_isa(isa)
        np.testing.assert_array_equal(NativeOps().linear(x, weight), x @ (codes.astype(np.float32) - offset).T)


def test_sums_of_float4_are_exact_on_every_instruction_set() -> None:
    """With a scale of one and activations that 8 bits hold, twice every result is a small integer."""
    rng = np.random.default_rng(8)
    blocks = rng.integers(0, 256, (24 * 3, 17), np.uint8)
    blocks[:, 0] = 127
    blocks[:3, 1:], blocks[3:6, 1:] = 0x77, 0xFF  # the largest sums that there can be
    tensor = Tensor(TensorInfo("weight", (24, 96), TensorType.MXFP4), blocks.reshape(-1))
    x = rng.integers(-127, 128, (7, 96)).astype(np.float32)
    x[:, ::32] = 127
    x[0], x[1] = 127, -127
    for isa in _kernels.available_isas():
        _kernels.use_isa(isa)
        np.testing.assert_array_equal(NativeOps().linear(x, reference.pack(tensor)), x @ tensor.float32().T)


def test_parts_keep_their_own_format_and_bias(isa: str) -> None:
    kinds = [TensorType.Q4_K, TensorType.Q6_K, TensorType.F32, TensorType.FP8, TensorType.MXFP4_APART]
    parts = [reference.random_tensor(i, kind, 13 + i, 256) for i, kind in enumerate(kinds)]
    biases = [
        Tensor.from_array("bias", reference.random_values(9, 13)),
        None,
        Tensor.from_array("bias", reference.random_values(10, 15).astype(np.float16)),
        Tensor.from_array("bias", reference.random_values(11, 16)),
        None,
    ]
    ops = NativeOps()
    weight = ops.pack_linear(parts, biases, None)
    assert [part.format for part in weight.parts] == ["q4_k", "q6_k", "f32", "fp8", "mxfp4"]
    assert (weight.inputs, weight.outputs) == (256, 75)
    x = reference.random_values(8, 6, 256)
    expected = [ops.linear(x, ops.pack_linear([part], None, None)) for part in parts]
    expected = [one if bias is None else one + bias.float32() for one, bias in zip(expected, biases, strict=True)]
    np.testing.assert_array_equal(ops.linear(x, weight), np.concatenate(expected, axis=1))


def test_rows_may_lie_apart(isa: str) -> None:
    wide = reference.random_values(11, 9, 200)
    for dtype in (WeightType.F32, WeightType.Q4):
        weight = reference.pack(reference.random_tensor(12, TensorType.F32, 20, 64), dtype)
        ops = NativeOps()
        part = wide[:, 100:164]
        np.testing.assert_array_equal(ops.linear(part, weight), ops.linear(part.copy(), weight))


@pytest.mark.parametrize("dtype", list(WeightType))
def test_values_that_are_not_finite_show_in_their_own_row_only(isa: str, dtype: WeightType) -> None:
    weight = reference.pack(reference.random_tensor(13, TensorType.F32, 20, 64), dtype)
    x = reference.random_values(14, 6, 64)
    ops = NativeOps()
    clean = ops.linear(x, weight)
    x[1, 5], x[4, 40] = np.nan, np.inf
    result = ops.linear(x, weight)
    assert not np.isfinite(result[[1, 4]]).any()
    np.testing.assert_array_equal(result[[0, 2, 3, 5]], clean[[0, 2, 3, 5]])


@pytest.mark.parametrize("dtype", list(WeightType))
def test_zeros_and_the_smallest_numbers_give_zero_or_nearly(isa: str, dtype: WeightType) -> None:
    weight = reference.pack(reference.random_tensor(15, TensorType.F32, 20, 64), dtype)
    x = np.zeros((2, 64), np.float32)
    x[1] = 1e-42
    result = NativeOps().linear(x, weight)
    assert np.all(result[0] == 0)
    assert np.all(np.abs(result[1]) < 1e-38)


def test_no_rows_give_no_rows(isa: str) -> None:
    weight = reference.pack(reference.random_tensor(16, TensorType.F32, 20, 64))
    assert NativeOps().linear(np.empty((0, 64), np.float32), weight).shape == (0, 20)
