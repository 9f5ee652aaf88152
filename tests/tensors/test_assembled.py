"""Tensors whose scales lie beside their codes, against torch's and transformers' own reading of the same bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freehold.errors import CheckpointError, UnsupportedTensorType
from freehold.tensors import Tensor, TensorInfo, TensorType
from tests.native import reference

released = pytest.importorskip("transformers.integrations.mxfp4", reason="this transformers has no MXFP4")

BESIDE = [TensorType.FP8, TensorType.MXFP4_APART]
ALL = [*BESIDE, TensorType.UINT4, TensorType.UINT8]


def test_every_float8_is_torchs() -> None:
    codes = np.arange(256, dtype=np.uint8)
    tensor = Tensor(TensorInfo("x", (2, 128), TensorType.FP8), codes, np.ones((2, 1), np.float32))
    expected = torch.from_numpy(codes).view(torch.float8_e4m3fn).float().numpy()
    np.testing.assert_array_equal(tensor.float32().reshape(-1), expected)


@given(rows=st.integers(1, 6), columns=st.integers(1, 400), seed=st.integers(0, 999))
def test_float8_times_the_scale_of_its_columns(rows: int, columns: int, seed: int) -> None:
    tensor = reference.random_tensor(seed, TensorType.FP8, rows, columns)
    assert tensor.scales is not None
    floats = torch.from_numpy(tensor.data).view(torch.float8_e4m3fn).float().numpy().reshape(rows, columns)
    expected = floats * np.repeat(tensor.scales, 128, axis=1)[:, :columns]
    np.testing.assert_array_equal(tensor.float32(), expected)


@given(experts=st.integers(1, 3), rows=st.integers(1, 5), groups=st.integers(1, 4), seed=st.integers(0, 999))
def test_mxfp4_of_safetensors_is_transformers(experts: int, rows: int, groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (experts, rows, groups, 16), np.uint8)
    scales = rng.integers(0, 252, (experts, rows, groups), np.uint8)
    info = TensorInfo("x", (experts, rows, groups * 32), TensorType.MXFP4_APART)
    tensor = Tensor(info, blocks.reshape(-1), scales.reshape(-1, groups))
    expected = released.convert_moe_packed_tensors(
        torch.from_numpy(blocks), torch.from_numpy(scales), dtype=torch.float32
    )
    # It holds experts as [inputs, outputs].
    np.testing.assert_array_equal(tensor.float32(), expected.transpose(1, 2).numpy())
    np.testing.assert_array_equal(tensor.in_blocks().float32(), tensor.float32())


@pytest.mark.parametrize("kind", [TensorType.UINT4, TensorType.UINT8])
def test_codes_less_their_zero_times_their_scale(kind: TensorType) -> None:
    tensor = reference.random_tensor(1, kind, 5, 96)
    blocks = tensor.data.reshape(-1, tensor.info.bytes // 15)
    scales = np.ascontiguousarray(blocks[:, :4]).view(np.float32).astype(np.float64)
    codes = blocks[:, 5:]
    if kind is TensorType.UINT4:
        codes = np.concatenate([codes & 15, codes >> 4], axis=1)
    expected = scales * (codes.astype(np.float64) - blocks[:, 4:5])
    np.testing.assert_array_equal(tensor.float32(), expected.reshape(5, 96))


@pytest.mark.parametrize("kind", ALL)
def test_rows_take_their_scales_along(kind: TensorType) -> None:
    tensor = reference.random_tensor(2, kind, 12, 192)
    values = tensor.float32()
    stacked = tensor.reshape((3, 4, 192))
    np.testing.assert_array_equal(stacked.float32(), values.reshape(3, 4, 192))
    np.testing.assert_array_equal(stacked.part(2).float32(), values[8:])
    np.testing.assert_array_equal(stacked.slice_rows(1, 3).float32(), values.reshape(3, 4, 192)[1:])
    np.testing.assert_array_equal(stacked.take_rows([2, 0]).float32(), values.reshape(3, 4, 192)[[2, 0]])
    np.testing.assert_array_equal(tensor.take_rows([5, 11, 5]).float32(), values[[5, 11, 5]])
    np.testing.assert_array_equal(tensor.slice_rows(3, 7).take_rows([1]).float32(), values[[4]])
    np.testing.assert_array_equal(tensor.transpose().float32(), values.T)
    np.testing.assert_array_equal(tensor.renamed("other").float32(), values)
    joined = Tensor.stack([tensor.slice_rows(0, 5), tensor.slice_rows(5, 12)])
    assert joined.info == tensor.info
    np.testing.assert_array_equal(joined.float32(), values)
    mixed = Tensor.stack([tensor, Tensor.from_array("x", values)])
    np.testing.assert_array_equal(mixed.float32(), np.concatenate([values, values]))


def test_float8_has_no_integer_codes() -> None:
    with pytest.raises(UnsupportedTensorType, match="'weight' is stored as FP8"):
        reference.random_tensor(3, TensorType.FP8, 2, 32).grouped()


def test_a_scale_that_is_not_a_number_is_refused() -> None:
    tensor = reference.random_tensor(4, TensorType.MXFP4_APART, 2, 64)
    with pytest.raises(CheckpointError, match="'weight' has an MXFP4 scale of 255, which stands for NaN"):
        replace(tensor, scales=np.full((2, 2), 255, np.uint8)).float32()
