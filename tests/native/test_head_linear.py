"""A weight of each head: as many products of their own."""

from __future__ import annotations

import numpy as np
import pytest

from freehold.ops.native import NativeOps
from tests.native import reference
from tests.native.mixtures import one, pack


@pytest.mark.parametrize("inputs", [24, 64])
def test_head_linear(isa: str, inputs: int) -> None:
    ops = NativeOps()
    weight = pack(1, 13, inputs, count=5)
    wide = reference.random_values(2, 7, 5 * (inputs + 3) + 4)
    whole = wide[:, : 5 * (inputs + 3)].reshape(7, 5, inputs + 3)
    for x in (whole[:, :, 3:], whole[:, :, 3:].copy()):
        result = ops.head_linear(x, weight)
        for head in range(5):
            np.testing.assert_array_equal(result[:, head], ops.linear(x[:, head].copy(), one(weight, head)))
    np.testing.assert_array_equal(ops.head_linear(whole[3:4, :, 3:], weight), result[3:4])
    assert ops.head_linear(whole[:0, :, 3:], weight).shape == (0, 5, 13)


def test_heads_that_do_not_fit_are_refused() -> None:
    ops, weight = NativeOps(), pack(1, 13, 24, count=5)
    with pytest.raises(ValueError, match=r"x.shape\[1\] is 4, must be 5"):
        ops.head_linear(np.zeros((1, 4, 24), np.float32), weight)
    with pytest.raises(ValueError, match=r"x.shape\[2\] is 23, must be 24"):
        ops.head_linear(np.zeros((1, 5, 23), np.float32), weight)
    with pytest.raises(ValueError, match="x has 2 dimensions, must have 3"):
        ops.head_linear(np.zeros((1, 24), np.float32), weight)
