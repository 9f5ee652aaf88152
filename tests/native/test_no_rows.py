"""A step without rows to compute, such as a chunk of a prompt that needs no logits, is not an error."""

from __future__ import annotations

import numpy as np
import pytest

from freehold.ops.base import Routing
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
    assert ops.layer_norm(none, None, None, 1e-5).shape == (0, 32)
    assert ops.gate(ops.activate(none, "gelu"), none, "silu").shape == (0, 32)
    assert ops.softcap(ops.scale(none, 2.0), 3.0).shape == (0, 32)


@pytest.mark.parametrize("dtype", [None, *WeightType])
def test_experts_take_no_rows(dtype: WeightType | None) -> None:
    ops = NativeOps()
    gate_up, down = (
        ops.pack_experts([[Tensor.from_array("weight", np.ones(shape, np.float32))]] * 3, None, dtype)
        for shape in ((14, 32), (32, 7))
    )
    none, logits = np.ones((0, 32), np.float32), np.ones((0, 3), np.float32)
    mixed = ops.experts(none, logits, gate_up, down, selection_bias=None, routing=Routing(2), activation="silu")
    assert mixed.shape == (0, 32)
    assert ops.head_linear(np.ones((0, 3, 32), np.float32), gate_up).shape == (0, 3, 14)
