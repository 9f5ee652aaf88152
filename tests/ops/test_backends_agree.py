"""Both backends hold the same values, whatever a weight is stored in and asked for as."""

from __future__ import annotations

import numpy as np
import pytest

from freehold.ops.base import Array
from freehold.ops.native import NativeOps
from freehold.ops.torch import TorchOps
from freehold.tensors import Tensor, TensorInfo, TensorType, WeightType
from freehold.tensors.quantise import encode

ROWS, COLUMNS = 24, 64
STORED = (TensorType.F32, TensorType.F16, TensorType.BF16, TensorType.Q8_0, TensorType.Q4_0)


def stored_as(kind: TensorType) -> Tensor:
    values = np.random.default_rng(1).standard_normal((ROWS, COLUMNS)).astype(np.float32)
    return Tensor(TensorInfo("weight", (ROWS, COLUMNS), kind), encode(values, kind))


@pytest.mark.parametrize("asked", [None, *WeightType])
@pytest.mark.parametrize("kind", STORED)
def test_held_values_are_equal(kind: TensorType, asked: WeightType | None) -> None:
    tensor, ids = stored_as(kind), np.arange(ROWS, dtype=np.int32)
    native, torch = NativeOps("f32"), TorchOps()
    held = native.to_numpy(native.embed(native.pack_linear([tensor], None, asked), ids))
    floats = torch.to_numpy(torch.embed(torch.pack_linear([tensor], None, asked), ids))
    assert np.array_equal(held, floats)


@pytest.mark.parametrize("asked", [WeightType.F16, WeightType.Q8, WeightType.Q4])
def test_narrower_types_really_round(asked: WeightType) -> None:
    tensor, ids = stored_as(TensorType.F32), np.arange(ROWS, dtype=np.int32)
    native = NativeOps("f32")
    assert not np.array_equal(native.embed(native.pack_linear([tensor], None, asked), ids), tensor.float32())


def test_arrays_are_put_side_by_side_along_their_last_dimension() -> None:
    values = np.arange(60, dtype=np.float32).reshape(2, 3, 10)
    parts = [values[..., :4], values[..., 4:]]
    native, torch = NativeOps("f32"), TorchOps()
    assert np.array_equal(native.concatenate(parts), values)
    assert np.array_equal(torch.to_numpy(torch.concatenate([torch_of(part) for part in parts])), values)


def torch_of(values: np.ndarray) -> Array:
    return TorchOps().vector(Tensor.from_array("values", np.ascontiguousarray(values)))
