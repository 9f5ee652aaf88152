"""Unpacking against the dequantisation of the `gguf` package, which is llama.cpp's own."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from hypothesis import given
from hypothesis import strategies as st

from freehold.errors import UnsupportedTensorType
from freehold.tensors import BLOCK_FORMATS, QUANTISED_TYPES, Float32Array, Tensor, TensorType
from freehold.tensors import unpack as unpack_module
from tests.tensors.blocks import EXPONENTS, HALVES, random_tensor

ALL = sorted(QUANTISED_TYPES)


def reference(tensor: Tensor) -> Float32Array:
    rows = tensor.data.reshape(-1, tensor.info.bytes // max(1, int(np.prod(tensor.info.shape[:-1]))))
    with np.errstate(invalid="ignore"):
        result: Float32Array = dequantize(rows, GGMLQuantizationType[tensor.info.type.value])
    return result.reshape(tensor.info.shape)


def assert_same_bits(found: Float32Array, expected: Float32Array) -> None:
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("kind", ALL)
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 5), blocks=st.integers(1, 3))
def test_dequantised_values_equal_ggml_bit_for_bit(kind: TensorType, seed: int, rows: int, blocks: int) -> None:
    tensor = random_tensor(kind, (rows, blocks * BLOCK_FORMATS[kind].elements), seed)
    assert_same_bits(tensor.float32(), reference(tensor))


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("byte", [0x00, 0x01, 0x7F, 0x80, 0xFF])
def test_every_code_at_its_ends(kind: TensorType, byte: int) -> None:
    tensor = random_tensor(kind, (1, BLOCK_FORMATS[kind].elements))
    keep = [index for start in HALVES[kind] for index in (start, start + 1)]
    keep += [EXPONENTS[kind]] if kind in EXPONENTS else []
    data = np.full_like(tensor.data, byte)
    data[keep] = tensor.data[keep]
    extreme = Tensor(tensor.info, data)
    assert_same_bits(extreme.float32(), reference(extreme))


@pytest.mark.parametrize("kind", sorted(HALVES.keys() - EXPONENTS.keys()))
def test_infinite_and_nan_scales_pass_through(kind: TensorType) -> None:
    tensor = random_tensor(kind, (200, 512), finite=False)
    found, expected = tensor.float32(), reference(tensor)
    assert not np.isfinite(expected).all()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ALL)
def test_working_in_pieces_changes_nothing(kind: TensorType, monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = random_tensor(kind, (7, 512))
    whole = tensor.float32()
    monkeypatch.setattr(unpack_module, "BLOCKS_AT_A_TIME", 3)
    assert_same_bits(tensor.float32(), whole)


@pytest.mark.parametrize("kind", ALL)
def test_groups_are_as_their_docstring_says(kind: TensorType) -> None:
    grouped = random_tensor(kind, (3, 5, 256)).grouped()
    assert grouped.codes.shape == (15, 256)
    assert grouped.scales.shape == (15, 256 // grouped.group)
    assert grouped.codes.dtype == (np.uint8 if grouped.bits == 4 else np.int8)
    assert grouped.scales.dtype == np.float32
    if grouped.bits == 4:
        assert grouped.codes.max() <= 15
    if grouped.minimums is not None:
        assert grouped.minimums.shape == grouped.scales.shape


@pytest.mark.parametrize("kind", ALL)
def test_rows_can_be_reordered_before_unpacking(kind: TensorType) -> None:
    tensor = random_tensor(kind, (6, 256))
    order = [5, 0, 3, 3]
    assert_same_bits(tensor.take_rows(order).float32(), tensor.float32()[order])


def test_a_float_tensor_is_not_unpacked() -> None:
    with pytest.raises(UnsupportedTensorType, match="'weights' is stored as F32"):
        Tensor.from_array("weights", np.zeros((2, 32), np.float32)).grouped()


def test_float_types_widen_to_float32() -> None:
    values = np.array([0.0, -1.5, 65504.0, 2.0**-24, np.inf], np.float32)
    for kind, stored in {
        TensorType.F64: values.astype("<f8"),
        TensorType.F32: values.astype("<f4"),
        TensorType.F16: values.astype("<f2"),
        TensorType.BF16: (values.view(np.uint32) >> 16).astype("<u2"),
    }.items():
        info = Tensor.from_array("x", values).info
        tensor = Tensor(type(info)("x", info.shape, kind), stored.view(np.uint8))
        expected = values if kind is not TensorType.BF16 else (stored.astype(np.uint32) << 16).view(np.float32)
        assert_same_bits(tensor.float32(), expected)
