"""Mixtures of experts against float64, and the same bits whatever rows are computed beside a row."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.ops.base import Routing
from freehold.ops.native import NativeOps
from freehold.tensors import Tensor, TensorType, WeightType
from tests.native import reference
from tests.native.mixtures import COUNT, FEATURES, ROUTINGS, WIDTH, Mixture, pack
from tests.native.reference import Float32Array

hypothesis_settings = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@pytest.mark.parametrize("name", ROUTINGS)
@hypothesis_settings
@given(rows=st.integers(0, 6), biased=st.booleans(), wide=st.booleans(), seed=st.integers(0, 999))
def test_mixtures(isa: str, name: str, *, rows: int, biased: bool, wide: bool, seed: int) -> None:
    """Each expert by itself is a gated MLP, which has its own tests."""
    features, width = (64, 32) if wide else (FEATURES, WIDTH)
    mixture = Mixture(seed, features=features, width=width, bias=False)
    x, logits = reference.random_values(seed, rows, features), reference.random_values(seed + 1, rows, COUNT)
    bias = reference.random_values(seed + 2, COUNT) if biased else None
    result = mixture(x, logits, ROUTINGS[name], bias=bias)
    expected = mixture.expected(x, logits, ROUTINGS[name], bias, "silu")
    # Of an input that was weighed, the last bit may differ, and so which way an activation of eight bits is rounded.
    tolerance = 2e-2 if ROUTINGS[name].weigh_inputs and wide else 1e-5
    largest = np.abs(expected).max(initial=1e-6)
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance * largest)


@pytest.mark.parametrize(("activation", "limit"), [("gelu_tanh", None), ("relu", None), ("clamped_swiglu", 3.0)])
def test_biases_and_activations(isa: str, activation: str, limit: float | None) -> None:
    """One expert of one is nothing but a gated MLP."""
    ops = NativeOps()
    gate_up = [reference.random_tensor(1, TensorType.F32, 2 * WIDTH, FEATURES)]
    down = [reference.random_tensor(2, TensorType.F32, FEATURES, WIDTH)]
    gate_up_bias: list[Tensor | None] = [Tensor.from_array("bias", reference.random_values(3, 2 * WIDTH))]
    down_bias: list[Tensor | None] = [Tensor.from_array("bias", reference.random_values(4, FEATURES))]
    x = reference.random_values(7, 5, FEATURES)
    result = ops.experts(
        x,
        np.ones((5, 1), np.float32),
        ops.pack_experts([gate_up], [gate_up_bias], None),
        ops.pack_experts([down], [down_bias], None),
        selection_bias=None,
        routing=Routing(1),
        activation=activation,
        limit=limit,
    )
    packed = ops.pack_linear(gate_up, gate_up_bias, None), ops.pack_linear(down, down_bias, None)
    expected = ops.gated_mlp(x, *packed, activation, limit)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", ROUTINGS)
def test_a_row_does_not_depend_on_the_rest_of_the_batch(isa: str, name: str) -> None:
    routing = ROUTINGS[name]
    mixture = Mixture(1, features=64, width=32)
    rows = 70  # experts get from none to dozens of them
    x, logits = reference.random_values(2, rows, 64), 2 * reference.random_values(3, rows, COUNT)
    bias = 0.1 * reference.random_values(4, COUNT)
    whole = mixture(x, logits, routing, bias=bias)
    for row in range(rows):
        alone = mixture(x[row : row + 1], logits[row : row + 1], routing, bias=bias)
        np.testing.assert_array_equal(alone, whole[row : row + 1])
    order = np.random.default_rng(5).permutation(rows)
    for some in (order, order[:31], np.repeat(order[:3], 20)):
        np.testing.assert_array_equal(mixture(x[some], logits[some], routing, bias=bias), whole[some])
    for threads in (1, 3):
        _kernels.set_threads(threads)
        np.testing.assert_array_equal(mixture(x, logits, routing, bias=bias), whole)


def test_views_of_wider_rows(isa: str) -> None:
    mixture = Mixture(1)
    wide = reference.random_values(2, 4, FEATURES + COUNT + 3)
    x, logits = wide[:, 1 : 1 + FEATURES], wide[:, 2 + FEATURES : 2 + FEATURES + COUNT]
    before = wide.copy()
    result = mixture(x, logits, Routing(2))
    np.testing.assert_array_equal(wide, before)
    np.testing.assert_array_equal(result, mixture(x.copy(), logits.copy(), Routing(2)))


def test_more_rows_than_one_turn_takes(isa: str) -> None:
    """64 experts for each row, and 4096 outputs of each: a quarter of a gigabyte are 255 rows."""
    ops = NativeOps()
    gate_up = pack(1, 2, 1, 64)
    down = pack(2, 4096, 1, 64)
    x, logits = reference.random_values(3, 300, 1), reference.random_values(4, 300, 64)
    results: list[Float32Array] = []

    def mix(x: Float32Array, logits: Float32Array) -> Float32Array:
        return ops.experts(x, logits, gate_up, down, selection_bias=None, routing=Routing(64), activation="silu")

    def work() -> None:
        results.extend([mix(x, logits), mix(x[200:], logits[200:])])

    thread = threading.Thread(target=work)  # whose memory goes with it
    thread.start()
    thread.join()
    np.testing.assert_array_equal(results[0][200:], results[1])


# --- bad input --------------------------------------------------------------------------------------------------------


def test_arrays_that_do_not_fit_are_refused() -> None:
    mixture = Mixture(1)
    x, logits = np.zeros((2, FEATURES), np.float32), np.zeros((2, COUNT), np.float32)
    with pytest.raises(ValueError, match=r"x.shape\[1\] is 39, must be 40"):
        mixture(x[:, 1:], logits, Routing(1))
    with pytest.raises(ValueError, match=r"router_logits.shape\[0\] is 1, must be 2"):
        mixture(x, logits[:1], Routing(1))
    with pytest.raises(ValueError, match=r"router_logits.shape\[1\] is 11, must be 12"):
        mixture(x, logits[:, 1:], Routing(1))
    with pytest.raises(ValueError, match=r"selection_bias.shape\[0\] is 11, must be 12"):
        mixture(x, logits, Routing(1), bias=logits[0, 1:])
    with pytest.raises(ValueError, match="activation is 'swish'"):
        mixture(x, logits, Routing(1), activation="swish")
    with pytest.raises(ValueError, match="clamped_swiglu needs a limit"):
        mixture(x, logits, Routing(1), activation="clamped_swiglu")
    mixture.down = pack(1, FEATURES, WIDTH + 1)
    with pytest.raises(ValueError, match="gate_up has 48 outputs, must have twice down's 25 inputs"):
        mixture(x, logits, Routing(1))
    mixture.down = pack(1, FEATURES, WIDTH, COUNT - 1)
    with pytest.raises(ValueError, match="down has 11 experts, but gate_up has 12"):
        mixture(x, logits, Routing(1))


def test_experts_of_unequal_shape_are_refused() -> None:
    def tensors(*rows: int) -> list[list[Tensor]]:
        return [[Tensor.from_array("weight", np.zeros((count, 4), np.float32))] for count in rows]

    ops = NativeOps()
    with pytest.raises(ValueError, match="expert 2 is 7 x 4, but expert 0 is 8 x 4"):
        ops.pack_experts(tensors(8, 8, 7), None, None)
    with pytest.raises(ValueError, match="at least one expert"):
        ops.pack_experts([], None, None)
    with pytest.raises(ValueError, match="there are biases of 1 experts for 2 experts"):
        ops.pack_experts(tensors(8, 8), [[None]], WeightType.Q8)
