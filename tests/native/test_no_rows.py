"""A step without rows to compute, such as a chunk of a prompt that needs no logits, is not an error."""

from __future__ import annotations

import numpy as np
import pytest

from freehold.ops.native import NativeOps
from freehold.tensors import Tensor, WeightType


@pytest.mark.parametrize("dtype", [None, *WeightType])
def test_operations_take_no_rows(dtype: WeightType | None) -> None:
    ops = NativeOps()
    none = ops.select_rows(np.ones((5, 32), np.float32), np.array([], np.int32))
    weight = ops.pack_linear([Tensor.from_array("weight", np.ones((7, 32), np.float32))], None, dtype)
    assert ops.rms_norm(none, np.ones(32, np.float32), 1e-5).shape == (0, 32)
    assert ops.linear(none, weight).shape == (0, 7)
    assert ops.embed(weight, np.array([], np.int32)).shape == (0, 32)
