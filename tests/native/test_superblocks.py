"""Q4_K, Q5_K and Q6_K as the kernels hold them: every value that a file can say, and sums as large as they can get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.ops.native import NativeOps
from freehold.tensors import BLOCK_FORMATS, Tensor, TensorInfo, TensorType
from tests.native import reference
from tests.tensors import blocks

KINDS = [TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K]
# Values with the smallest and the largest code.
ENDS = {TensorType.Q4_K: (0, 63 * 15), TensorType.Q5_K: (0, 63 * 31), TensorType.Q6_K: (32 * 128, -31 * 128)}
# The first byte of the float16 number that scales are multiplied with.
FACTOR = {TensorType.Q4_K: 0, TensorType.Q5_K: 0, TensorType.Q6_K: 208}


def all_alike(kind: TensorType, *, largest: bool) -> Tensor:
    """Eight rows of one block: a factor of one, and every code at its end of the range, with the scale that makes most
    of it; no minimums."""
    size = BLOCK_FORMATS[kind].bytes
    data = np.zeros((8, size), np.uint8)
    data[:, FACTOR[kind] : FACTOR[kind] + 2] = np.array([1], np.float16).view(np.uint8)
    if kind is TensorType.Q6_K:
        data[:, :192] = 255 if largest else 0  # codes 31 and -32
        data[:, 192:208] = 128  # -128
    else:
        data[:, 4:8] = 255  # low six bits of the first four scales, and the upper two of the last
        data[:, 12:16] = 15
        data[:, 16:] = 255 if largest else 0
    return Tensor(TensorInfo("weight", (8, 256), kind), data.reshape(-1))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(rows=st.integers(1, 20), width=st.integers(1, 3), seed=st.integers(0, 999), finite=st.booleans())
def test_values_are_those_of_the_file(kind: TensorType, rows: int, width: int, seed: int, *, finite: bool) -> None:
    """For any bytes: the largest and subnormal factors, and those that are not finite."""
    tensor = blocks.random_tensor(kind, (rows, 256 * width), seed, finite=finite)
    if not finite:
        raw = tensor.data.copy().reshape(-1, BLOCK_FORMATS[kind].bytes)
        raw[::3, FACTOR[kind] : FACTOR[kind] + 2] = np.array([np.inf], np.float16).view(np.uint8)
        raw[1::3, FACTOR[kind] : FACTOR[kind] + 2] = np.array([np.nan], np.float16).view(np.uint8)
        tensor = Tensor(tensor.info, raw.reshape(-1))
    with np.errstate(invalid="ignore"):
        expected = tensor.float32()
    values = reference.all_rows(reference.pack(tensor))
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(values), ~known)
    np.testing.assert_array_equal(values.view(np.uint32)[known], expected.view(np.uint32)[known])


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_sums_are_exact(isa: str, kind: TensorType, *, largest: bool) -> None:
    """One block of activations at a time, at both ends of their range and mixed: a sum that float32 holds."""
    tensor = all_alike(kind, largest=largest)
    assert np.all(tensor.float32() == ENDS[kind][largest])
    x = np.zeros((4 * 8, 256), np.float32)
    for block in range(8):
        columns = slice(32 * block, 32 * block + 32)
        x[4 * block, columns] = 127
        x[4 * block + 1, columns] = -127
        x[4 * block + 2, columns] = np.tile([127, -127], 16)
        x[4 * block + 3, columns] = np.repeat([127, -127], 16)
    weight = reference.pack(tensor)
    expected = (x.astype(np.float64) @ tensor.float32().astype(np.float64).T).astype(np.float32)
    np.testing.assert_array_equal(NativeOps().linear(x, weight), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_factors_that_are_not_finite_show_in_their_own_output_only(isa: str, kind: TensorType) -> None:
    tensor = reference.random_tensor(1, kind, 20, 512)
    x = reference.random_values(2, 6, 512)
    clean = NativeOps().linear(x, reference.pack(tensor))
    data = tensor.data.copy().reshape(20, 2, -1)
    data[3, 1, FACTOR[kind] : FACTOR[kind] + 2] = np.array([np.nan], np.float16).view(np.uint8)
    data[17, 0, FACTOR[kind] : FACTOR[kind] + 2] = np.array([np.inf], np.float16).view(np.uint8)
    result = NativeOps().linear(x, reference.pack(Tensor(tensor.info, data.reshape(-1))))
    assert not np.isfinite(result[:, [3, 17]]).any()
    others = np.delete(np.arange(20), [3, 17])
    np.testing.assert_array_equal(result[:, others], clean[:, others])


def test_what_makes_no_superblocks_is_refused() -> None:
    codes = np.zeros(_kernels.packed_bytes("q4_k", 8, 256), np.uint8)
    plain: dict[str, Any] = {"format": "q4_k", "rows": 8, "columns": 256, "codes": codes}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"columns": 288}, "288 columns do not fill superblocks of 256"),
        ({"codes": codes[:-1]}, r"codes.shape\[0\] is 1183, must be 1184"),
        ({"scales": np.zeros(8, np.float16)}, "q4_k has neither scales nor minimums beside it"),
        ({"offset": 8}, "q4_k has no offset of its own"),
    ]
    for changes, message in cases:
        with pytest.raises(ValueError, match=message):
            _kernels.Matrix(**plain | changes)
    raw = np.zeros(8 * 144, np.uint8)
    _kernels.pack_superblocks(raw, "q4_k", 8, 256, 0, codes)
    with pytest.raises(ValueError, match=r"blocks.shape\[0\] is 1152, must be 1296"):
        _kernels.pack_superblocks(raw, "q4_k", 9, 256, 0, np.zeros(4000, np.uint8))
    with pytest.raises(ValueError, match="out has 1184 bytes, must have at least 1680"):
        _kernels.pack_superblocks(raw, "q6_k", 8, 256, 0, codes)
    with pytest.raises(ValueError, match="cannot pack superblocks to q8"):
        _kernels.pack_superblocks(raw, "q8", 4, 256, 0, np.zeros(4000, np.uint8))
    with pytest.raises(ValueError, match="cannot pack codes to q5_k"):
        _kernels.pack_codes(np.zeros((8, 256), np.uint8), "q5_k", 0, np.zeros(4000, np.uint8))
