"""Norms, rotations, activations, look-ups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.ops.native import NativeOps
from freehold.tensors import Tensor, TensorType
from tests.native import reference

hypothesis_settings = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@hypothesis_settings
@given(rows=st.integers(0, 5), columns=st.integers(1, 200), seed=st.integers(0, 999))
def test_rms_norm(isa: str, rows: int, columns: int, seed: int) -> None:
    x = reference.random_values(seed, rows, columns)
    weight = reference.random_values(seed + 1, columns)
    wide = x.astype(np.float64)
    expected = wide / np.sqrt((wide**2).mean(axis=1, keepdims=True) + 1e-5) * weight
    result = NativeOps().rms_norm(x, weight, 1e-5)
    np.testing.assert_allclose(result, expected, rtol=2e-6, atol=1e-7)
    for row in range(rows):
        np.testing.assert_array_equal(NativeOps().rms_norm(x[row : row + 1], weight, 1e-5), result[row : row + 1])


@pytest.mark.parametrize("activation", ["silu", "gelu_tanh"])
def test_gate_is_accurate_and_blind_to_where_an_element_lies(isa: str, activation: str) -> None:
    x = np.concatenate([np.linspace(-100, 100, 1001), np.linspace(-1, 1, 998)]).astype(np.float32)
    wide = x.astype(np.float64)
    inner = np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)
    with np.errstate(over="ignore"):
        expected = wide / (1 + np.exp(-wide)) if activation == "silu" else wide / 2 * (1 + np.tanh(inner))
    ops = NativeOps()
    identity = {
        width: ops.pack_linear([Tensor.from_array("identity", np.eye(width, dtype=np.float32))], None, None)
        for width in (1, 2, 7, 9, 14, 18, 1999)
    }
    whole = ops.gated_mlp(x[None], _twice(ops, 1999), identity[1999], activation)[0]
    np.testing.assert_allclose(whole, expected * wide, rtol=3e-6, atol=2e-5)
    for width in (1, 7, 9):
        for start in (0, 500, 1990):
            some = x[None, start : start + width]
            part = ops.gated_mlp(some, _twice(ops, width), identity[width], activation)
            np.testing.assert_array_equal(part[0], whole[start : start + width])


def _twice(ops: NativeOps, width: int) -> _kernels.LinearWeight:
    """A weight that gives x both as gate and as up."""
    identity = Tensor.from_array("identity", np.eye(width, dtype=np.float32))
    return ops.pack_linear([identity, identity], None, None)


def test_gate_passes_on_what_is_not_a_number(isa: str) -> None:
    ops = NativeOps()
    identity = ops.pack_linear([Tensor.from_array("identity", np.eye(2, dtype=np.float32))], None, None)
    gate_up = np.array([[np.nan, 1]], np.float32)
    assert np.isnan(ops.gated_mlp(gate_up, _twice(ops, 2), identity, "silu")).all()  # an identity spreads it


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
        with pytest.raises(ValueError, match="are wanted of 4"):
            ops.select_rows(x, np.array(rows, np.int32))
