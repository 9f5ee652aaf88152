"""Rotations, look-ups, sums, factors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.ops.native import NativeOps
from freehold.tensors import Tensor, TensorType
from tests.native import reference

hypothesis_settings = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@hypothesis_settings
@given(
    tokens=st.integers(1, 5),
    heads=st.integers(1, 3),
    pairs=st.integers(1, 20),
    rest=st.integers(0, 5),
    seed=st.integers(0, 999),
)
def test_rope(isa: str, *, tokens: int, heads: int, pairs: int, rest: int, seed: int) -> None:
    head_dim = 2 * pairs + rest
    fused = reference.random_values(seed, tokens, heads * head_dim + 7)  # rows lie apart, as in a fused projection
    x = fused[:, : heads * head_dim].reshape(tokens, heads, head_dim)
    assert x.base is not None
    before = fused.astype(np.float64)
    rng = np.random.default_rng(seed)
    positions = rng.integers(0, 1 << 17, tokens).astype(np.int32)
    frequencies = (10000.0 ** (-np.arange(pairs) / pairs)).astype(np.float32)
    ops = NativeOps()
    result = ops.rope(x, ops.rotation(positions, frequencies, 1.5))

    angles = (positions.astype(np.float32)[:, None] * frequencies).astype(np.float64)[:, None]
    old = before[:, : heads * head_dim].reshape(tokens, heads, head_dim)
    left, right = old[..., :pairs], old[..., pairs : 2 * pairs]
    cosine, sine = 1.5 * np.cos(angles), 1.5 * np.sin(angles)
    np.testing.assert_allclose(result[..., :pairs], left * cosine - right * sine, atol=2e-6)
    np.testing.assert_allclose(result[..., pairs : 2 * pairs], right * cosine + left * sine, atol=2e-6)
    np.testing.assert_array_equal(result[..., 2 * pairs :], old[..., 2 * pairs :])
    np.testing.assert_array_equal(fused[:, heads * head_dim :], before[:, heads * head_dim :])


def test_rotation_depends_on_the_position_only(isa: str) -> None:
    ops = NativeOps()
    positions = np.arange(0, 5000, 37, dtype=np.int32)
    frequencies = (500000.0 ** (-np.arange(33) / 33)).astype(np.float32)
    whole = ops.rotation(positions, frequencies, 1.0)
    for i in (0, 1, 77, len(positions) - 1):
        one = ops.rotation(positions[i : i + 1], frequencies, 1.0)
        np.testing.assert_array_equal(one.cosines[0], whole.cosines[i])
        np.testing.assert_array_equal(one.sines[0], whole.sines[i])


def test_embed_takes_rows_in_any_order_across_parts(isa: str) -> None:
    ops = NativeOps()
    parts = [reference.random_tensor(i, kind, 21, 256) for i, kind in enumerate([TensorType.Q4_K, TensorType.F16])]
    table = ops.pack_linear(parts, None, None)
    ids = np.array([41, 0, 20, 21, 20, 7], np.int32)
    expected = np.concatenate([part.float32() for part in parts])[ids]
    np.testing.assert_array_equal(ops.embed(table, ids), expected)


def test_add_and_select_rows() -> None:
    ops = NativeOps()
    x, y = reference.random_values(1, 4, 5), reference.random_values(2, 4, 5)
    np.testing.assert_array_equal(ops.add(x.copy(), y), x + y)
    huge = np.full((2, 3), 3e38, np.float32)
    assert np.isposinf(ops.add(huge, huge)).all()  # without a warning: the sampler says what is wrong
    np.testing.assert_array_equal(ops.select_rows(x, np.array([3, 0, 3], np.int32)), x[[3, 0, 3]])
    assert ops.select_rows(x, np.array([], np.int32)).shape == (0, 5)
    for rows in ([-1], [4], [0, 2**31 - 1]):
        with pytest.raises(ValueError, match=rf"rows\[{len(rows) - 1}\] is {rows[-1]}, but x has 4 rows"):
            ops.select_rows(x, np.array(rows, np.int32))


@pytest.mark.parametrize("shape", [(3, 5), (3, 2, 5), (0, 4)])
def test_scale(shape: tuple[int, ...]) -> None:
    ops = NativeOps()
    x = reference.random_values(1, *shape)
    factors = reference.random_values(2, shape[0])
    np.testing.assert_array_equal(ops.scale(x.copy(), 0.3), x * np.float32(0.3))
    np.testing.assert_array_equal(ops.scale(x.copy(), factors), (x.T * factors).T)
    wide = np.concatenate([x, x], -1)  # only what is passed changes
    ops.scale(wide[..., : shape[-1]], factors)
    np.testing.assert_array_equal(wide, np.concatenate([(x.T * factors).T, x], -1))


def test_one_factor_for_each_row_is_wanted() -> None:
    with pytest.raises(ValueError, match=r"factors.shape\[0\] is 2, must be 3"):
        NativeOps().scale(np.zeros((3, 2, 4), np.float32), np.ones(2, np.float32))
    for x in (np.zeros(3, np.float32), np.zeros((1, 1, 1, 1), np.float32)):
        with pytest.raises(ValueError, match=f"x has {x.ndim} dimensions, must have 2 or 3"):
            NativeOps().scale(x, 2.0)


@pytest.mark.parametrize("shape", [(), (3,), (2, 1, 3), (0, 4)])
def test_vectors_keep_their_shape(shape: tuple[int, ...]) -> None:
    values = np.asarray(reference.random_values(1, *shape), np.float32)
    vector = NativeOps().vector(Tensor.from_array("values", values.astype(np.float16)))
    assert vector.flags.c_contiguous
    np.testing.assert_array_equal(vector, values.astype(np.float16).astype(np.float32), strict=True)
