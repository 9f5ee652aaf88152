"""The memory that weights are said to take is what they take."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from freehold.errors import UnsupportedTensorType
from freehold.ops.native.experts import pack_experts
from freehold.ops.native.sizes import held_bytes
from freehold.ops.native.weights import pack_linear
from freehold.tensors import ASSEMBLED_TYPES, BLOCK_FORMATS, Tensor, TensorInfo, TensorType, WeightType
from tests.native import reference

FLOATS = [TensorType.F32, TensorType.F16, TensorType.BF16]
QUANTISED = [TensorType.Q4_0, TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1, TensorType.Q8_0]
K_TYPES = [TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K]
ASSEMBLED = sorted(ASSEMBLED_TYPES)
DTYPES = [None, *WeightType]


def random_tensor(kind: TensorType, rows: int, columns: int) -> Tensor:
    """Random bytes below 60, which make small floats of every kind."""
    info = TensorInfo("x", (rows, columns), kind)
    return Tensor(info, np.random.default_rng(0).integers(0, 60, info.bytes, np.uint8))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [*FLOATS, *QUANTISED, *K_TYPES, TensorType.MXFP4])
@pytest.mark.parametrize("rows", [8, 13])
def test_held_bytes_are_those_of_the_packed_weight(kind: TensorType, dtype: WeightType | None, rows: int) -> None:
    tensor = random_tensor(kind, rows, max(96, BLOCK_FORMATS[kind].elements))
    assert held_bytes(tensor.info, dtype) == pack_linear([tensor], None, dtype).parts[0].bytes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ASSEMBLED)
@pytest.mark.parametrize("rows", [8, 13])
def test_so_it_is_where_scales_lie_beside_the_codes(kind: TensorType, dtype: WeightType | None, rows: int) -> None:
    tensor = reference.random_tensor(0, kind, rows, 160)
    assert held_bytes(tensor.info, dtype) == pack_linear([tensor], None, dtype).parts[0].bytes


@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_that_fill_no_block(dtype: WeightType | None) -> None:
    tensor = Tensor.from_array("x", np.ones((5, 70), np.float32))
    assert held_bytes(tensor.info, dtype) == pack_linear([tensor], None, dtype).parts[0].bytes


def test_vectors_are_float32() -> None:
    for shape in ((100,), (), (4, 5, 5)):
        assert held_bytes(TensorInfo("norm", shape, TensorType.BF16), WeightType.Q4) == 4 * prod(shape)


def test_experts_are_packed_one_by_one() -> None:
    tensors = [random_tensor(TensorType.Q4_0, 13, 96) for _ in range(3)]
    packed = pack_experts([[tensor, tensor] for tensor in tensors], None, WeightType.Q8)
    held = sum(matrix.bytes for parts in packed.parts for matrix in parts)
    assert held == 6 * held_bytes(tensors[0].info, WeightType.Q8)


def test_type_without_kernels_is_named() -> None:
    with pytest.raises(UnsupportedTensorType, match="'x' is stored as I64"):
        held_bytes(TensorInfo("x", (2, 2), TensorType.I64), None)
