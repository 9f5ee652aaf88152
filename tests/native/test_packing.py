"""Packing keeps what it promises to keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.errors import CheckpointError
from freehold.ops.native import NativeOps, weights
from freehold.tensors import Tensor, TensorInfo, TensorType, WeightType
from freehold.tensors.quantise import quantise
from tests.native import reference

FOUR_BITS = (
    TensorType.Q4_0,
    TensorType.Q4_1,
    TensorType.Q4_K,
    TensorType.MXFP4,
    TensorType.MXFP4_APART,
    TensorType.UINT4,
)
OWN_FORMATS = {
    TensorType.MXFP4: "mxfp4",
    TensorType.MXFP4_APART: "mxfp4",
    TensorType.FP8: "fp8",
    TensorType.Q4_K: "q4_k",
    TensorType.Q5_K: "q5_k",
    TensorType.Q6_K: "q6_k",
}


@pytest.mark.parametrize("kind", reference.QUANTISED + reference.FLOATS)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(rows=st.integers(1, 30), columns=st.integers(1, 600), seed=st.integers(0, 999))
def test_no_stored_value_changes(kind: TensorType, rows: int, columns: int, seed: int) -> None:
    tensor = reference.random_tensor(seed, kind, rows, reference.columns_for(kind, columns))
    packed = reference.all_rows(reference.pack(tensor))
    np.testing.assert_array_equal(packed.view(np.uint32), tensor.float32().view(np.uint32))


@pytest.mark.parametrize(
    ("kind", "message"),
    [(TensorType.FP8, "cannot be held as FP8: an fp8 code is NaN"), (TensorType.MXFP4, "has an MXFP4 scale of 255")],
)
def test_what_is_not_a_number_is_refused_by_name(kind: TensorType, message: str) -> None:
    tensor = reference.random_tensor(0, kind, 9, 64)
    data = tensor.data.copy()
    data[17 * 5] = 255
    with pytest.raises(CheckpointError, match=f"'weight' {message}"):
        reference.pack(replace(tensor, data=data))


def test_every_power_of_two_is_exact(isa: str) -> None:
    """Scales from 2^-128 on, which are subnormal, to 2^126, with every value of four bits."""
    blocks = np.empty((255, 17), np.uint8)
    blocks[:, 0] = np.arange(255)
    blocks[:, 1:] = np.arange(16, dtype=np.uint8) * 17
    tensor = Tensor(TensorInfo("weight", (255, 32), TensorType.MXFP4), blocks.reshape(-1))
    weight = reference.pack(tensor)
    np.testing.assert_array_equal(reference.all_rows(weight).view(np.uint32), tensor.float32().view(np.uint32))
    identity = np.eye(32, dtype=np.float32) * 127
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(NativeOps().linear(identity, weight), tensor.float32().T * np.float32(127))


def test_every_half_and_bfloat_survives() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    for kind in (TensorType.F16, TensorType.BF16):
        tensor = Tensor(TensorInfo("weight", (256, 256), kind), every.reshape(-1).view(np.uint8))
        np.testing.assert_array_equal(reference.all_rows(reference.pack(tensor)), tensor.float32())


def test_float64_becomes_float32() -> None:
    values = np.random.default_rng(0).standard_normal((9, 10))
    tensor = Tensor(TensorInfo("weight", (9, 10), TensorType.F64), values.reshape(-1).view(np.uint8))
    weight = reference.pack(tensor)
    assert weight.parts[0].format == "f32"
    np.testing.assert_array_equal(reference.all_rows(weight), values.astype(np.float32))


@pytest.mark.parametrize(
    ("kind", "format_", "half_scales", "bits_per_weight"),
    [
        (TensorType.Q4_0, "q4", True, 4.5),
        (TensorType.Q4_1, "q4", True, 5),
        (TensorType.Q8_0, "q8", True, 8.5),
        (TensorType.Q5_0, "q8", True, 8.5),
        (TensorType.Q5_1, "q8", True, 9),
        (TensorType.Q4_K, "q4_k", False, 4.625),
        (TensorType.Q5_K, "q5_k", False, 5.625),
        (TensorType.Q6_K, "q6_k", False, 6.5625),
        (TensorType.MXFP4, "mxfp4", False, 4.25),
        (TensorType.MXFP4_APART, "mxfp4", False, 4.25),
        (TensorType.FP8, "fp8", False, 8.25),
        (TensorType.UINT4, "q4", False, 6),
        (TensorType.UINT8, "q8", False, 10),
    ],
)
def test_layout_of_each_type(kind: TensorType, format_: str, half_scales: bool, bits_per_weight: float) -> None:
    [part] = reference.pack(reference.random_tensor(0, kind, 16, 512)).parts
    assert (part.format, part.half_scales) == (format_, half_scales)
    assert part.bytes * 8 == 16 * 512 * bits_per_weight


@pytest.mark.parametrize("kind", reference.QUANTISED + reference.FLOATS)
@pytest.mark.parametrize("dtype", [WeightType.F32, WeightType.F16])
def test_floats_are_widened_exactly_and_narrowed_to_nearest(isa: str, kind: TensorType, dtype: WeightType) -> None:
    tensor = reference.random_tensor(1, kind, 11, 256)
    expected = tensor.float32()
    if dtype is WeightType.F16:
        expected = expected.astype(np.float16).astype(np.float32)
    weight = reference.pack(tensor, dtype)
    assert weight.parts[0].format == dtype
    np.testing.assert_array_equal(reference.all_rows(weight), expected)


@pytest.mark.parametrize("dtype", [WeightType.Q4, WeightType.Q8])
@pytest.mark.parametrize("kind", reference.QUANTISED + reference.FLOATS)
def test_quantising_keeps_what_is_narrow_enough(kind: TensorType, dtype: WeightType) -> None:
    tensor = reference.random_tensor(2, kind, 11, 256)
    bits = 4 if dtype is WeightType.Q4 else 8
    four = kind in FOUR_BITS
    kept = kind in reference.QUANTISED and (bits == 8 or four)
    expected = tensor.float32() if kept else quantise(tensor.float32(), bits).float32()
    weight = reference.pack(tensor, dtype)
    usual = "q4" if four or bits == 4 else "q8"
    assert weight.parts[0].format == (OWN_FORMATS.get(kind, usual) if kept else usual)
    np.testing.assert_array_equal(reference.all_rows(weight), expected)


def test_beyond_float16_is_refused_by_name(isa: str) -> None:
    values = np.zeros((2, 3), np.float32)
    values[1, 2] = 65520
    with pytest.raises(CheckpointError, match=r"'model\.weight' cannot be held as f16"):
        NativeOps().pack_linear([Tensor.from_array("model.weight", values)], None, WeightType.F16)
    values[1, 2] = 65519  # rounds to 65504
    weight = NativeOps().pack_linear([Tensor.from_array("model.weight", values)], None, WeightType.F16)
    assert reference.all_rows(weight)[1, 2] == 65504


def test_rounding_to_half_is_numpys(isa: str) -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 1 << 32, 1 << 15, np.uint32).view(np.float32)
    magnitudes = np.exp2(rng.uniform(-26, 15.9, 1 << 15)).astype(np.float32)
    halves = np.arange(0, 0x7C00, dtype=np.uint16).view(np.float16)  # all that are finite
    ties = (halves.astype(np.float32).view(np.uint32) | 0x1000).view(np.float32)
    finite = np.concatenate([values[np.abs(values) < 65504], magnitudes, -magnitudes, ties[np.abs(ties) < 65504]])
    weight = reference.pack(Tensor.from_array("weight", finite[None]), WeightType.F16)
    np.testing.assert_array_equal(reference.all_rows(weight)[0], finite.astype(np.float16).astype(np.float32))


def test_chunks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (TensorType.F32, TensorType.Q4_K, TensorType.Q6_K, TensorType.FP8, TensorType.MXFP4_APART):
        tensor = reference.random_tensor(4, kind, 75, 256)
        monkeypatch.setattr(weights, "CHUNK_ELEMENTS", 256 * 20)  # 16 rows at a time
        np.testing.assert_array_equal(reference.all_rows(reference.pack(tensor)), tensor.float32())


def test_one_scale_beyond_half_keeps_all_in_float32() -> None:
    tensor = reference.random_tensor(5, TensorType.UINT4, 16, 256)
    assert not reference.pack(tensor).parts[0].half_scales
    scales = np.full(16 * 8, 0.25, np.float32)
    assert weights._equal(scales.astype(np.float16), scales)
    scales[77] = 0.1
    assert not weights._equal(scales.astype(np.float16), scales)


def test_shapes_that_are_no_matrix_are_refused() -> None:
    for shape in ((4,), (0, 4), (4, 0), (2, 2, 2)):
        with pytest.raises(ValueError, match="must have two dimensions"):
            reference.pack(Tensor.from_array("weight", np.zeros(shape, np.float32)))


def test_memory_is_aligned() -> None:
    for size in (0, 1, 100, 5 << 20):
        memory = _kernels.empty(size)
        assert memory.size == size
        assert memory.ctypes.data % 64 == 0
