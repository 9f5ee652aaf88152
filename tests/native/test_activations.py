"""Activations, alone and as gates, against float64."""

from __future__ import annotations

from collections.abc import Callable
from math import erfc

import numpy as np
import pytest

from freehold import _kernels
from freehold.ops.native import NativeOps
from freehold.tensors import Tensor, WeightType
from tests.native import reference
from tests.native.reference import Float32Array, Float64Array


def sigmoid(x: Float64Array) -> Float64Array:
    with np.errstate(over="ignore"):
        result: Float64Array = 1 / (1 + np.exp(-x))
    return result


def gelu(x: Float64Array) -> Float64Array:
    return np.array([value * erfc(-value / np.sqrt(2)) / 2 for value in x])


# What an activation is, and how far it may be off: in units of the last place of a result, and beside it.
ACTIVATIONS: dict[str, tuple[Callable[[Float64Array], Float64Array], float, float]] = {
    "silu": (lambda x: x * sigmoid(x), 3, 1e-36),
    "gelu": (gelu, 8, 1e-36),
    "gelu_tanh": (lambda x: x * sigmoid(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)), 3, 3e-8),
    "relu": (lambda x: np.maximum(x, 0), 0, 0),
    "sigmoid": (sigmoid, 3, 1e-36),
    "tanh": (np.tanh, 2, 0),
}
SWEEP = np.concatenate(
    [np.linspace(-100, 100, 4001), np.linspace(-6, 6, 4998), np.geomspace(1e-30, 1), -np.geomspace(1e-30, 1)]
).astype(np.float32)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_accurate(isa: str, activation: str) -> None:
    function, units, beside = ACTIVATIONS[activation]
    expected = function(SWEEP.astype(np.float64))
    result = NativeOps().activate(SWEEP[None].copy(), activation)[0]
    unit = np.spacing(np.abs(expected).astype(np.float32)).astype(np.float64)
    assert (np.abs(result - expected) <= units * unit + beside).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_blind_to_where_an_element_lies(isa: str, activation: str) -> None:
    ops = NativeOps()
    whole = ops.activate(SWEEP[None].copy(), activation)[0]
    for width in (1, 2, 7, 8, 9, 23):
        for start in (0, 1, 3000, len(SWEEP) - width):
            part = ops.activate(SWEEP[None, start : start + width].copy(), activation)[0]
            np.testing.assert_array_equal(part, whole[start : start + width])
    columns = len(SWEEP) // 3
    rows = SWEEP[: 3 * columns].reshape(1, 3, columns)[:, :, 5:-1]
    np.testing.assert_array_equal(
        ops.activate(rows.copy(), activation)[0], whole[: 3 * columns].reshape(3, -1)[:, 5:-1]
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_not_a_number_stays(isa: str, activation: str) -> None:
    x = np.array([[np.nan, 1, 2]], np.float32)
    result = NativeOps().activate(x, activation)
    np.testing.assert_array_equal(np.isnan(result), [[True, False, False]])


def test_an_unknown_activation_is_refused() -> None:
    ops = NativeOps()
    x = np.zeros((1, 8), np.float32)
    with pytest.raises(ValueError, match="activation is 'swish', must be silu, gelu, gelu_tanh, relu, sigmoid or"):
        ops.activate(x, "swish")
    with pytest.raises(ValueError, match="activation is 'swish'"):
        ops.gate(x, x, "swish")
    with pytest.raises(ValueError, match="activation is 'clamped_swiglu', must be"):
        ops.activate(x, "clamped_swiglu")


# --- softcap ----------------------------------------------------------------------------------------------------------


def test_softcap(isa: str) -> None:
    x = np.concatenate([SWEEP, np.array([np.inf, -np.inf, np.nan, 1e38], np.float32)])
    expected = 30 * np.tanh(x.astype(np.float64) / 30)
    np.testing.assert_allclose(NativeOps().softcap(x[None].copy(), 30.0)[0], expected, rtol=4e-7, atol=0)
    rows = NativeOps().softcap(x[None, 3:16].copy(), 30.0)
    np.testing.assert_array_equal(rows[0], NativeOps().softcap(x[None].copy(), 30.0)[0, 3:16])


@pytest.mark.parametrize("cap", [0.0, -1.0, np.nan, np.inf])
def test_a_cap_that_is_none_is_refused(cap: float) -> None:
    with pytest.raises(ValueError, match=r"cap is .*, must be finite and above 0"):
        NativeOps().softcap(np.zeros((1, 1), np.float32), cap)


# --- gates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(3, 13), (3, 2, 5)])
def test_gate(isa: str, shape: tuple[int, ...], activation: str) -> None:
    ops = NativeOps()
    x, gates = reference.random_values(1, *shape), reference.random_values(2, *shape)
    expected = x * ops.activate(gates.copy(), activation)
    wide = np.concatenate([gates, x], -1)  # both lie apart
    before = wide.copy()
    np.testing.assert_array_equal(ops.gate(wide[..., shape[-1] :], wide[..., : shape[-1]], activation), expected)
    np.testing.assert_array_equal(wide[..., : shape[-1]], before[..., : shape[-1]])
    np.testing.assert_array_equal(ops.gate(x.copy(), gates, activation), expected)


def test_one_gate_for_a_whole_row(isa: str) -> None:
    ops = NativeOps()
    x, gates = reference.random_values(1, 4, 13), reference.random_values(2, 4, 3)
    expected = x * ops.activate(gates[:, 1:2].copy(), "sigmoid")
    np.testing.assert_array_equal(ops.gate(x, gates[:, 1:2], "sigmoid"), expected)


def test_gates_of_another_shape_are_refused() -> None:
    ops = NativeOps()
    x = np.zeros((3, 8), np.float32)
    with pytest.raises(ValueError, match=r"gates.shape\[1\] is 2, must be 8"):
        ops.gate(x, x[:, :2], "silu")
    with pytest.raises(ValueError, match=r"gates.shape\[0\] is 1, must be 3"):
        ops.gate(x, x[:1, :1], "silu")
    with pytest.raises(ValueError, match="gates has 2 dimensions, must have 3"):
        ops.gate(x.reshape(3, 2, 4), x[:, :1], "silu")


def test_results_that_cannot_be_written_are_refused() -> None:
    x = np.zeros((3, 8), np.float32)
    x.flags.writeable = False
    calls: list[Callable[[], None]] = [
        lambda: _kernels.activate(x, "silu"),
        lambda: _kernels.gate(x, x, "silu"),
        lambda: _kernels.softcap(x, 1.0),
        lambda: _kernels.scale(x, 1.0),
        lambda: _kernels.scale_rows(x, np.ones(3, np.float32)),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()


# --- gated MLP --------------------------------------------------------------------------------------------------------


def identity(ops: NativeOps, width: int, count: int = 1) -> _kernels.LinearWeight:
    """A weight that gives x `count` times."""
    one = Tensor.from_array("identity", np.eye(width, dtype=np.float32))
    return ops.pack_linear([one] * count, None, None)


def gated(x: Float32Array, activation: str, limit: float | None = None) -> Float32Array:
    """A gated MLP that does nothing but gate x with itself."""
    ops, width = NativeOps(), x.shape[1]
    return ops.gated_mlp(x, identity(ops, width, 2), identity(ops, width), activation, limit)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("width", [1, 7, 8, 61])
def test_gated_mlp(isa: str, width: int, activation: str) -> None:
    x = reference.random_values(1, 3, width)
    np.testing.assert_array_equal(gated(x, activation), NativeOps().activate(x.copy(), activation) * x)


def test_clamped_swiglu(isa: str) -> None:
    x = np.linspace(-20, 20, 801).astype(np.float32)
    wide = x.astype(np.float64)
    gate = np.minimum(wide, 7)
    expected = gate * sigmoid(1.702 * gate) * (np.clip(wide, -7, 7) + 1)
    np.testing.assert_allclose(gated(x[None], "clamped_swiglu", 7.0)[0], expected, rtol=5e-6, atol=1e-30)


def test_a_limit_belongs_to_clamped_swiglu() -> None:
    x = np.zeros((1, 2), np.float32)
    with pytest.raises(ValueError, match="clamped_swiglu needs a limit"):
        gated(x, "clamped_swiglu")
    with pytest.raises(ValueError, match=r"limit is 7.0*, but only clamped_swiglu has a limit, not silu"):
        gated(x, "silu", 7.0)
    for limit in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"limit is .*, must be finite and above 0"):
            gated(x, "clamped_swiglu", limit)


@pytest.mark.parametrize("dtype", [None, WeightType.F16, WeightType.Q8, WeightType.Q4])
def test_a_gated_mlp_is_two_products_and_what_lies_between_bit_for_bit(isa: str, dtype: WeightType | None) -> None:
    ops, random = NativeOps(), np.random.default_rng(5)
    weights = [random.standard_normal(shape, np.float32) for shape in ((48, 64), (48, 64), (40, 48))]
    gate, up, down = (Tensor.from_array("w", weight) for weight in weights)
    packed = ops.pack_linear([gate, up], None, dtype)
    last = ops.pack_linear([down], None, dtype)
    x = random.standard_normal((19, 64), np.float32)
    hidden = ops.linear(x, packed)
    made = ops.activate(hidden[:, :48].copy(), "silu") * hidden[:, 48:]
    expected = ops.linear(made, last)
    np.testing.assert_array_equal(ops.gated_mlp(x, packed, last, "silu"), expected)
    for row in range(len(x)):
        np.testing.assert_array_equal(ops.gated_mlp(x[row : row + 1], packed, last, "silu")[0], expected[row])


def test_gated_mlp_passes_on_what_is_not_a_number(isa: str) -> None:
    x = np.array([[np.nan, 1]], np.float32)
    assert np.isnan(gated(x, "silu")).all()  # an identity spreads it
    assert np.isnan(gated(x, "clamped_swiglu", 7.0)).all()
