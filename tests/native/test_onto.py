"""Products that are added onto what is there already: the same bits as the product, then the sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from freehold import _kernels
from freehold.ops.native import NativeOps
from freehold.tensors import Tensor, TensorType, WeightType
from tests.native import reference

ROWS = range(1, 21)
ALL_TYPES = reference.FLOATS + reference.QUANTISED


def bias_of(seed: int, outputs: int) -> Tensor:
    return Tensor.from_array("bias", reference.random_values(seed, outputs))


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("kind", ALL_TYPES)
def test_a_product_is_added_as_if_it_were_made_first(isa: str, kind: TensorType, *, biased: bool) -> None:
    """61 outputs fill neither the last panel nor the last tile."""
    ops = NativeOps()
    tensor = reference.random_tensor(1, kind, 61, reference.columns_for(kind, 200))
    weight = ops.pack_linear([tensor], [bias_of(2, 61)] if biased else None, None)
    x, there = reference.random_values(3, 20, weight.inputs), reference.random_values(4, 20, 61)
    expected = there + ops.linear(x, weight)
    for rows in ROWS:
        onto, before = there[:rows].copy(), x[:rows].copy()
        result = ops.linear(x[:rows], weight, onto)
        assert result is onto
        np.testing.assert_array_equal(result, expected[:rows])
        np.testing.assert_array_equal(x[:rows], before)


@pytest.mark.parametrize("kind", [TensorType.F32, TensorType.F16, TensorType.Q4_K, TensorType.Q8_0, TensorType.FP8])
def test_the_number_of_threads_changes_nothing(isa: str, kind: TensorType) -> None:
    """Every output is added to once, whoever computes it."""
    ops = NativeOps()
    weight = reference.pack(reference.random_tensor(5, kind, 397, 256))
    x, there = reference.random_values(6, 40, 256), reference.random_values(7, 40, 397)
    for threads in (1, 2, 5):
        _kernels.set_threads(threads)
        for rows in (1, 3, 40):
            expected = there[:rows] + ops.linear(x[:rows], weight)
            np.testing.assert_array_equal(ops.linear(x[:rows], weight, there[:rows].copy()), expected)


def test_parts_are_added_each_to_its_own_outputs(isa: str) -> None:
    ops, kinds = NativeOps(), [TensorType.Q4_K, TensorType.F32, TensorType.FP8, TensorType.Q6_K]
    parts = [reference.random_tensor(i, kind, 13 + i, 256) for i, kind in enumerate(kinds)]
    weight = ops.pack_linear(parts, [None, bias_of(8, 14), None, bias_of(9, 16)], None)
    x, there = reference.random_values(10, 6, 256), reference.random_values(11, 6, 58)
    expected = there + ops.linear(x, weight)
    np.testing.assert_array_equal(ops.linear(x, weight, there), expected)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", [None, *WeightType])
def test_a_gated_mlp_is_added_as_if_it_were_made_first(isa: str, dtype: WeightType | None, *, biased: bool) -> None:
    ops = NativeOps()
    gate, up, down = (Tensor.from_array("w", reference.random_values(i, *s)) for i, s in enumerate(3 * [(64, 64)]))
    gate_up = ops.pack_linear([gate, up], [bias_of(5, 64), bias_of(6, 64)] if biased else None, dtype)
    last = ops.pack_linear([down], [bias_of(7, 64)] if biased else None, dtype)
    x, there = reference.random_values(8, 20, 64), reference.random_values(9, 20, 64)
    for threads in (1, 3):
        _kernels.set_threads(threads)
        for rows in ROWS:
            made = ops.gated_mlp(x[:rows], gate_up, last, "silu")
            onto = there[:rows].copy()
            result = ops.gated_mlp(x[:rows], gate_up, last, "silu", onto=onto)
            assert result is onto
            np.testing.assert_array_equal(result, there[:rows] + made)
            same = x[:rows].copy()
            np.testing.assert_array_equal(ops.gated_mlp(same, gate_up, last, "silu", onto=same), x[:rows] + made)


@pytest.mark.parametrize("rows", [1, 5])
def test_what_is_not_finite_stays_in_its_own_row_and_output(isa: str, rows: int) -> None:
    ops, weight = NativeOps(), reference.pack(reference.random_tensor(12, TensorType.F32, 20, 64))
    x, there = reference.random_values(13, rows, 64), reference.random_values(14, rows, 20)
    clean = there + ops.linear(x, weight)
    there[0, 3], there[-1, 19] = np.nan, -np.inf
    expected = clean.copy()
    expected[0, 3], expected[-1, 19] = np.nan, -np.inf
    np.testing.assert_array_equal(ops.linear(x, weight, there), expected)


def test_no_rows_are_added_to_none(isa: str) -> None:
    ops, weight = NativeOps(), reference.pack(reference.random_tensor(15, TensorType.F32, 64, 64))
    gate_up = reference.pack(reference.random_tensor(16, TensorType.F32, 128, 64))
    none, there = np.empty((0, 64), np.float32), np.empty((0, 64), np.float32)
    assert ops.linear(none, weight, there).shape == (0, 64)
    assert ops.gated_mlp(none, gate_up, weight, "silu", onto=there).shape == (0, 64)


def test_what_a_product_cannot_be_added_onto_is_refused() -> None:
    ops, weight = NativeOps(), reference.pack(reference.random_tensor(17, TensorType.F32, 16, 32))
    gate_up, down = (reference.pack(reference.random_tensor(18, TensorType.F32, *s)) for s in ((16, 32), (16, 8)))
    x = np.ones((3, 32), np.float32)
    cases: list[tuple[npt.NDArray[Any], str]] = [
        (np.ones((3, 15), np.float32), r"onto.shape\[1\] is 15, must be 16"),
        (np.ones((2, 16), np.float32), r"onto.shape\[0\] is 2, must be 3"),
        (np.ones((1, 16), np.float32), r"onto.shape\[0\] is 1, must be 3"),
        (np.ones(16, np.float32), "onto has 1 dimensions, must have 2"),
        (np.ones((3, 16)), "onto is of type float64, must be float32"),
        (np.ones((3, 32), np.float32)[:, ::2], "onto has stride 2 in dimension 1, must have 1"),
    ]
    for onto, message in cases:
        before = onto.copy()
        with pytest.raises(ValueError, match=message):
            ops.linear(x, weight, onto)
        with pytest.raises(ValueError, match=message):
            ops.gated_mlp(x, gate_up, down, "silu", onto=onto)
        np.testing.assert_array_equal(onto, before)


def test_a_product_is_not_added_onto_what_it_reads() -> None:
    """Some outputs would be computed from others. A gated MLP has read its rows before it adds."""
    ops, memory = NativeOps(), np.ones(200, np.float32)
    weight = reference.pack(reference.random_tensor(19, TensorType.F32, 32, 32))
    x = memory[32:128].reshape(3, 32)
    for first in (32, 0, 104):
        with pytest.raises(ValueError, match="onto shares memory with x, must lie apart from it"):
            ops.linear(x, weight, memory[first : first + 96].reshape(3, 32))
    memory = np.ones(192, np.float32)
    ops.linear(memory[:96].reshape(3, 32), weight, memory[96:].reshape(3, 32))
