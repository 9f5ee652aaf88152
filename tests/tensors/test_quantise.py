"""Quantisation: bounds on its error, and that files hold its result without loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from hypothesis import given
from hypothesis import strategies as st

from freehold.errors import CheckpointError
from freehold.tensors import Float32Array, GroupedTensor, Tensor, TensorInfo, TensorType
from freehold.tensors.quantise import encode, pad_columns, quantise
from tests.tensors.blocks import random_tensor

BITS = {8: TensorType.Q8_0, 4: TensorType.Q4_0}
FLOAT16_LIMIT = 65504.0


def gaussian(rows: int, columns: int, seed: int = 0, scale: float = 1.0) -> Float32Array:
    return (np.random.default_rng(seed).standard_normal((rows, columns)) * scale).astype(np.float32)


def decoded(raw: np.ndarray[tuple[int], np.dtype[np.uint8]], kind: TensorType, shape: tuple[int, ...]) -> Tensor:
    return Tensor(TensorInfo("x", shape, kind), raw)


def assert_same_groups(found: GroupedTensor, expected: GroupedTensor) -> None:
    np.testing.assert_array_equal(found.codes, expected.codes)
    np.testing.assert_array_equal(found.scales, expected.scales)
    assert (found.bits, found.group, found.offset, found.minimums) == (
        expected.bits,
        expected.group,
        expected.offset,
        expected.minimums,
    )


@pytest.mark.parametrize("bits", BITS)
@given(seed=st.integers(0, 2**32), exponent=st.integers(-30, 12), rows=st.integers(1, 4), groups=st.integers(1, 4))
def test_files_hold_the_result_without_loss(bits: int, seed: int, exponent: int, rows: int, groups: int) -> None:
    values = gaussian(rows, groups * 32, seed, 2.0**exponent)
    grouped = quantise(values, bits)
    np.testing.assert_array_equal(grouped.scales.astype(np.float16).astype(np.float32), grouped.scales)
    raw = encode(grouped, BITS[bits])
    assert_same_groups(decoded(raw, BITS[bits], values.shape).grouped(), grouped)
    np.testing.assert_array_equal(encode(values, BITS[bits]), raw)
    expected = dequantize(raw.reshape(rows, -1), GGMLQuantizationType[BITS[bits].value])
    np.testing.assert_array_equal(grouped.float32(), expected)


@given(seed=st.integers(0, 2**32), exponent=st.integers(-12, 12))
def test_8_bit_error_is_half_a_step(seed: int, exponent: int) -> None:
    values = gaussian(4, 64, seed, 2.0**exponent)
    grouped = quantise(values, 8)
    # A scale rounded down by float16's 2^-11 also cuts 127 * 2^-11 of a step off the largest value.
    steps = np.abs(values - grouped.float32()).reshape(4, 2, 32) / grouped.scales[:, :, None]
    assert steps.max() <= 0.5 + 127 * 2.0**-11
    # Relative to the largest value of the group that is a 254th part, as for Q8_0.
    assert np.abs(values - grouped.float32()).max() <= np.abs(values).max() / 254 * 1.2


GENERATOR = np.random.default_rng(1)
WEIGHTS = {
    "gaussian": GENERATOR.standard_normal((64, 1024)),
    "laplace": GENERATOR.laplace(size=(64, 1024)),
    "uniform": GENERATOR.uniform(-1, 1, (64, 1024)),
    "student": GENERATOR.standard_t(4, (64, 1024)),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_4_bit_error_is_well_below_plain_q4_0(name: str) -> None:
    values = WEIGHTS[name].astype(np.float32)
    plain = dequantize(quantize(values, GGMLQuantizationType.Q4_0), GGMLQuantizationType.Q4_0)
    found = quantise(values, 4).float32()
    assert np.square(found - values).sum() <= 0.94 * np.square(plain - values).sum()


@given(seed=st.integers(0, 2**32))
def test_4_bit_is_never_much_worse_than_plain_q4_0_in_any_group(seed: int) -> None:
    values = gaussian(16, 32, seed)
    plain = dequantize(quantize(values, GGMLQuantizationType.Q4_0), GGMLQuantizationType.Q4_0)
    found = quantise(values, 4).float32()
    # Plain Q4_0's codes are among the candidates, with a better scale; what is left is float16's rounding of it.
    ours, theirs = np.square(found - values).sum(axis=1), np.square(plain - values).sum(axis=1)
    assert (ours <= theirs * 1.01).all()


@pytest.mark.parametrize("bits", BITS)
def test_values_on_the_grid_are_kept(bits: int) -> None:
    codes = np.arange(-8, 8) if bits == 4 else np.concatenate([np.arange(-127, -111), np.arange(112, 128)])
    values = (np.resize(codes, (3, 32)) * np.array([[0.5], [2.0**-10], [-3.0]])).astype(np.float32)
    np.testing.assert_array_equal(quantise(values, bits).float32(), values)


@pytest.mark.parametrize("bits", BITS)
def test_groups_do_not_see_each_other(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = gaussian(5, 128)
    whole = quantise(values, bits).float32()
    monkeypatch.setattr("freehold.tensors.quantise.GROUPS_AT_A_TIME", 3)
    np.testing.assert_array_equal(quantise(values, bits).float32(), whole)
    np.testing.assert_array_equal(quantise(values[2:3, 32:64], bits).float32(), whole[2:3, 32:64])
    np.testing.assert_array_equal(encode(quantise(values, bits), BITS[bits]), encode(values, BITS[bits]))


@pytest.mark.parametrize("bits", BITS)
def test_zeros_and_tiny_values(bits: int) -> None:
    np.testing.assert_array_equal(quantise(np.zeros((2, 32), np.float32), bits).float32(), 0)
    for magnitude in (1e-45, 1e-38, 1e-20, 1e-8, 1e-6):
        values = gaussian(2, 32, scale=magnitude)
        # Half of float16's smallest subnormal, times the largest code, is the worst that rounding the scale does.
        assert np.abs(quantise(values, bits).float32() - values).max() <= max(2.0**-25 * 128, magnitude)


@pytest.mark.parametrize("bits", BITS)
def test_the_largest_values(bits: int) -> None:
    limit = FLOAT16_LIMIT * (8 if bits == 4 else 127)
    values = np.full((1, 32), -limit, np.float32)
    np.testing.assert_allclose(quantise(values, bits).float32(), values, rtol=1e-3)
    with pytest.raises(CheckpointError, match="cannot be quantised"):
        quantise(values * np.float32(1.01), bits)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bits: int, value: float) -> None:
    values = gaussian(2, 64)
    values[1, 40] = value
    with pytest.raises(CheckpointError, match="cannot be quantised"):
        quantise(values, bits)


def test_other_shapes_and_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="33 columns"):
        quantise(np.zeros((1, 33), np.float32), 8)
    with pytest.raises(ValueError, match="bits is 5"):
        quantise(np.zeros((1, 32), np.float32), 5)
    with pytest.raises(ValueError, match="Q6_K"):
        encode(np.zeros((1, 256), np.float32), TensorType.Q6_K)


@pytest.mark.parametrize(("columns", "padded"), [(1, 32), (31, 32), (32, 32), (33, 64)])
def test_padding(columns: int, padded: int) -> None:
    values = gaussian(3, columns)
    result = pad_columns(values, 32)
    assert result.shape == (3, padded)
    np.testing.assert_array_equal(result[:, :columns], values)
    assert not result[:, columns:].any()


@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=64))
def test_floats_round_as_torch_rounds_them(bits: list[int]) -> None:
    values = np.array(bits, np.uint32).view(np.float32)
    raw = encode(values, TensorType.BF16)
    expected = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(decoded(raw, TensorType.BF16, values.shape).float32(), expected)
    np.testing.assert_array_equal(encode(values, TensorType.F32), values.view(np.uint8))


def test_float16_refuses_what_it_cannot_hold() -> None:
    values = gaussian(4, 8)
    raw = encode(values, TensorType.F16)
    np.testing.assert_array_equal(decoded(raw, TensorType.F16, (4, 8)).float32(), values.astype(np.float16))
    with pytest.raises(CheckpointError, match="float16"):
        encode(values * np.float32(1e6), TensorType.F16)


@pytest.mark.parametrize(
    ("kind", "target", "fits"),
    [
        (TensorType.Q5_0, TensorType.Q8_0, True),
        (TensorType.Q4_0, TensorType.Q8_0, True),
        (TensorType.Q8_0, TensorType.Q4_0, False),  # codes past the nibble's
        (TensorType.Q4_1, TensorType.Q4_0, False),  # minimums
        (TensorType.Q4_K, TensorType.Q4_0, False),
        (TensorType.Q6_K, TensorType.Q8_0, False),  # groups of 16
    ],
)
def test_grouped_values_are_written_only_without_loss(kind: TensorType, target: TensorType, fits: bool) -> None:
    grouped = random_tensor(kind, (4, 256)).grouped()
    if fits:
        np.testing.assert_array_equal(decoded(encode(grouped, target), target, (4, 256)).float32(), grouped.float32())
    else:
        with pytest.raises(CheckpointError, match=f"cannot be written as {target} without loss"):
            encode(grouped, target)


def test_scales_beyond_float16_are_not_rounded_in_silence() -> None:
    grouped = quantise(gaussian(1, 32), 8)
    odd = GroupedTensor(grouped.codes, grouped.scales * np.float32(1.0001), None, 8, 32)
    with pytest.raises(CheckpointError, match="without loss"):
        encode(odd, TensorType.Q8_0)


@pytest.mark.parametrize("kind", [TensorType.F32, TensorType.F16, TensorType.BF16])
def test_grouped_values_can_be_written_as_floats(kind: TensorType) -> None:
    grouped = quantise(gaussian(4, 64), 4)
    np.testing.assert_allclose(
        decoded(encode(grouped, kind), kind, (4, 64)).float32(), grouped.float32(), rtol=2.0**-8, atol=0
    )
