"""Norms against float64: with and without weights, over rows, over heads, and over views of wider rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.ops.native import NativeOps
from tests.native import reference
from tests.native.reference import Float32Array, Float64Array

EPSILON = 1e-5

hypothesis_settings = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def normalised(x: Float32Array, centred: bool, weight: Float32Array | None, bias: Float32Array | None) -> Float64Array:
    wide = x.astype(np.float64)
    if centred:
        wide = wide - wide.mean(-1, keepdims=True)
    result: Float64Array = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + EPSILON)
    if weight is not None:
        result = result * weight
    return result if bias is None else result + bias


def norm(x: Float32Array, centred: bool, weight: Float32Array | None, bias: Float32Array | None) -> Float32Array:
    ops = NativeOps()
    return ops.layer_norm(x, weight, bias, EPSILON) if centred else ops.rms_norm(x, weight, EPSILON)


@hypothesis_settings
@given(
    rows=st.integers(0, 5),
    heads=st.none() | st.integers(1, 4),
    columns=st.integers(1, 200),
    centred=st.booleans(),
    weighed=st.booleans(),
    biased=st.booleans(),
    own=st.booleans(),
    seed=st.integers(0, 999),
)
def test_norms(
    isa: str,
    *,
    rows: int,
    heads: int | None,
    columns: int,
    centred: bool,
    weighed: bool,
    biased: bool,
    own: bool,
    seed: int,
) -> None:
    shape = (rows, columns) if heads is None else (rows, heads, columns)
    x = reference.random_values(seed, *shape)
    small = (heads, columns) if own and heads is not None else (columns,)
    weight = reference.random_values(seed + 1, *small) if weighed else None
    bias = reference.random_values(seed + 2, *small) if biased and centred else None
    result = norm(x, centred, weight, bias)
    np.testing.assert_allclose(result, normalised(x, centred, weight, bias), rtol=4e-6, atol=4e-6)
    for row in range(rows):
        np.testing.assert_array_equal(norm(x[row : row + 1], centred, weight, bias), result[row : row + 1])


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("columns", [5, 64])
def test_views_of_wider_rows(isa: str, columns: int, centred: bool) -> None:
    wide = reference.random_values(1, 4, 3 * columns + 7)
    heads = wide[:, 2 : 2 + 3 * columns].reshape(4, 3, columns)
    weight = reference.random_values(2, 3, columns)
    before = wide.copy()
    expected = norm(np.ascontiguousarray(heads), centred, weight, None)
    np.testing.assert_array_equal(norm(heads, centred, weight, None), expected)
    some = norm(heads[:, :, 1:4], centred, weight[:, 1:4].copy(), None)  # heads that lie apart
    np.testing.assert_array_equal(some, norm(heads[:, :, 1:4].copy(), centred, weight[:, 1:4].copy(), None))
    np.testing.assert_array_equal(wide, before)


def test_a_mean_far_from_zero_does_not_drown_the_deviations(isa: str) -> None:
    x = 1000 + reference.random_values(1, 3, 100)
    np.testing.assert_allclose(norm(x, True, None, None), normalised(x, True, None, None), atol=2e-4)


def test_bad_input_is_refused() -> None:
    ops = NativeOps()
    x, vector = np.zeros((3, 2, 8), np.float32), np.ones(8, np.float32)
    for epsilon in (-1e-6, np.nan, np.inf):
        with pytest.raises(ValueError, match="epsilon is"):
            ops.rms_norm(x, vector, epsilon)
    with pytest.raises(ValueError, match=r"weight.shape\[0\] is 7, must be 8"):
        ops.layer_norm(x, vector[:7], vector, EPSILON)
    with pytest.raises(ValueError, match=r"weight.shape\[0\] is 3, must be 2"):
        ops.rms_norm(x, np.ones((3, 8), np.float32), EPSILON)
    with pytest.raises(ValueError, match="bias has 1 dimensions, must have 2"):
        ops.layer_norm(x, np.ones((2, 8), np.float32), vector, EPSILON)
    with pytest.raises(ValueError, match="weight has 2 dimensions, must have 1"):
        ops.rms_norm(x.reshape(6, 8), np.ones((2, 8), np.float32), EPSILON)
    with pytest.raises(ValueError, match="x's last dimension is 0"):
        ops.rms_norm(x[..., :0], None, EPSILON)
    overlapping = np.lib.stride_tricks.as_strided(vector, (2, 2, 4), (16, 8, 4))
    with pytest.raises(ValueError, match="x has heads 2 elements apart, must be at least 4"):
        _kernels.rms_norm(overlapping, None, EPSILON, np.zeros((2, 2, 4), np.float32))
