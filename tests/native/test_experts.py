"""Mixtures of experts against float64, and the same bits whatever rows are computed beside a row."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.ops.base import Routing
from freehold.ops.native import NativeOps
from freehold.tensors import Tensor, TensorType, WeightType
from tests.native import reference
from tests.native.reference import Float32Array, Float64Array

hypothesis_settings = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)

ROUTINGS = {
    "softmax": Routing(3),
    "as they are": Routing(3, normalise=False),
    "sigmoid": Routing(2, "sigmoid", scale=2.5),
    "groups": Routing(3, "sigmoid", groups=4, groups_kept=2, scale=1.5),
    "groups of softmax": Routing(4, groups=4, groups_kept=2),
    "inputs": Routing(1, "sigmoid", normalise=False, weigh_inputs=True),
    "all": Routing(12),
}
COUNT, FEATURES, WIDTH = 12, 40, 24


def best(values: Float64Array, count: int) -> list[int]:
    return sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]


def route(logits: Float32Array, bias: Float32Array | None, routing: Routing) -> Float64Array:
    """Weight of every expert for one row, zero for those that are not chosen."""
    wide = logits.astype(np.float64)
    scores = np.exp(wide - wide.max()) / np.exp(wide - wide.max()).sum()
    if routing.scoring == "sigmoid":
        scores = 1 / (1 + np.exp(-wide))
    ranked = scores if bias is None else scores + bias
    if routing.groups > 1:
        grouped = ranked.reshape(routing.groups, -1)
        worth = np.sort(grouped, axis=1)[:, -2:].sum(axis=1)
        ranked = np.full_like(grouped, -np.inf)
        for group in best(worth, routing.groups_kept):
            ranked[group] = grouped[group]
        ranked = ranked.reshape(-1)
    weights = np.zeros(len(logits))
    chosen = best(ranked, routing.top_k)
    weights[chosen] = scores[chosen]
    if routing.normalise:
        weights /= weights.sum()
    return weights * routing.scale


def pack(seed: int, outputs: int, inputs: int, count: int = COUNT, bias: bool = False) -> _kernels.ExpertsWeight:
    """Experts of which each is stored in another way, where its inputs fill the blocks of that."""
    kinds = [TensorType.F32, TensorType.Q8_0, TensorType.Q4_0, TensorType.F16] if inputs % 32 == 0 else [TensorType.F32]
    parts = [[reference.random_tensor(seed + i, kinds[i % len(kinds)], outputs, inputs)] for i in range(count)]
    biases = [[Tensor.from_array("bias", reference.random_values(seed + 500 + i, outputs))] for i in range(count)]
    return NativeOps().pack_experts(parts, biases if bias else None, None)


class Mixture:
    """A layer of random experts, and what it should make of rows."""

    def __init__(self, seed: int, count: int = COUNT, features: int = FEATURES, width: int = WIDTH, bias: bool = True):
        self.ops = NativeOps()
        self.gate_up = pack(seed, 2 * width, features, count, bias)
        self.down = pack(seed + 100, features, width, count, bias)

    def __call__(
        self,
        x: Float32Array,
        logits: Float32Array,
        routing: Routing,
        *,
        bias: Float32Array | None = None,
        activation: str = "silu",
        limit: float | None = None,
    ) -> Float32Array:
        return self.ops.experts(
            x,
            logits,
            self.gate_up,
            self.down,
            selection_bias=bias,
            routing=routing,
            activation=activation,
            limit=limit,
        )

    def expected(
        self, x: Float32Array, logits: Float32Array, routing: Routing, bias: Float32Array | None, activation: str
    ) -> Float64Array:
        result = np.zeros(x.shape)
        for row in range(len(x)):
            for number, weight in enumerate(route(logits[row], bias, routing)):
                if weight:
                    before, behind = (weight, 1.0) if routing.weigh_inputs else (1.0, weight)
                    gate_up, down = one(self.gate_up, number), one(self.down, number)
                    weighed = x[row : row + 1] * np.float32(before)
                    result[row] += behind * self.ops.gated_mlp(weighed, gate_up, down, activation)[0]
        return result


def one(weight: _kernels.ExpertsWeight, number: int) -> _kernels.LinearWeight:
    """The number's expert as a weight of its own, without its bias."""
    return _kernels.LinearWeight(weight.parts[number])


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


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_the_earlier_of_two_equal_experts_is_chosen(isa: str, scoring: str, groups: int) -> None:
    mixture = Mixture(1)
    x = reference.random_values(2, 1, FEATURES)
    level = np.zeros((1, COUNT), np.float32)
    routing = Routing(2, scoring, groups=groups, groups_kept=1)
    first_two = np.full((1, COUNT), -80, np.float32)
    first_two[0, :2] = 0
    equal = mixture(x, level, replace(routing, normalise=True))
    np.testing.assert_array_equal(equal, mixture(x, first_two, routing))
    late = level.copy()
    late[0, 7:] = 1
    expected = np.full((1, COUNT), -80, np.float32)
    expected[0, 7 if groups == 1 else 8 : 9 if groups == 1 else 10] = 1
    np.testing.assert_array_equal(mixture(x, late, routing), mixture(x, expected, routing))


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_logits_whose_scores_round_to_the_same_are_told_apart(isa: str, scoring: str) -> None:
    mixture = Mixture(1)
    x = reference.random_values(2, 1, FEATURES)
    logits = np.full((1, COUNT), -200, np.float32)
    logits[0, 3:6] = [-120, 40, 80]  # sigmoids of the last two are 1, softmax of the others 0
    alone = np.full((1, COUNT), -200, np.float32)
    alone[0, 5] = 80
    np.testing.assert_array_equal(mixture(x, logits, Routing(1, scoring)), mixture(x, alone, Routing(1, scoring)))


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
@pytest.mark.parametrize("groups", [1, 4])
def test_logits_that_are_not_numbers_spoil_their_own_row_only(isa: str, groups: int, scoring: str) -> None:
    mixture = Mixture(1)
    routing = Routing(2, scoring, groups=groups, groups_kept=1)
    x, logits = reference.random_values(2, 4, FEATURES), reference.random_values(3, 4, COUNT)
    expected = mixture(x, logits, routing)
    spoilt = logits.copy()
    spoilt[1, 5] = np.nan
    spoilt[2] = np.nan
    result = mixture(x, spoilt, routing)
    np.testing.assert_array_equal(result[[0, 3]], expected[[0, 3]])
    assert np.isnan(result[1:3]).all()
    for bias in (np.full(COUNT, np.nan, np.float32), np.full(COUNT, np.inf, np.float32)):
        assert mixture(x, logits, routing, bias=bias).shape == x.shape  # whatever that means, it ends
    x[1] = np.nan
    result = mixture(x, logits, routing)
    np.testing.assert_array_equal(result[[0, 2, 3]], expected[[0, 2, 3]])
    assert np.isnan(result[1]).all()


def test_an_infinite_logit(isa: str) -> None:
    mixture = Mixture(1)
    x, logits = reference.random_values(2, 1, FEATURES), reference.random_values(3, 1, COUNT)
    logits[0, 4] = -np.inf
    assert np.isfinite(mixture(x, logits, Routing(3))).all()
    logits[0, 4] = np.inf
    assert np.isnan(mixture(x, logits, Routing(3))).all()  # a softmax of it is infinity over infinity
    assert np.isfinite(mixture(x, logits, Routing(3, "sigmoid"))).all()


def test_an_expert_that_weighs_nothing_does_nothing(isa: str) -> None:
    """Even where it would make infinity of a row: its score is exactly zero."""
    ops = NativeOps()
    plain, huge = (Tensor.from_array("weight", np.full((2, 1), size, np.float32)) for size in (1, 3e38))
    down = [[Tensor.from_array("down", np.full((1, 1), size, np.float32))] for size in (1, 3e38)]
    result = ops.experts(
        np.ones((1, 1), np.float32),
        np.array([[0, -200]], np.float32),
        ops.pack_experts([[plain], [huge]], None, None),
        ops.pack_experts(down, None, None),
        selection_bias=None,
        routing=Routing(2),
        activation="relu",
        limit=None,
    )
    np.testing.assert_array_equal(result, [[1]])


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


# --- a weight of each head --------------------------------------------------------------------------------------------


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


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("routing", "message"),
    [
        (Routing(0), "top_k is 0, must be from 1 to 12"),
        (Routing(13), "top_k is 13, must be from 1 to 12"),
        (Routing(4, groups=4, groups_kept=1), "top_k is 4, must be from 1 to 3"),
        (Routing(1, groups=5), "12 experts cannot be divided into 5 groups"),
        (Routing(1, groups=0), "groups is 0, must be from 1 to 12"),
        (Routing(1, groups=4, groups_kept=5), "groups_kept is 5, must be from 1 to 4"),
        (Routing(1, groups=4, groups_kept=0), "groups_kept is 0, must be from 1 to 4"),
        (Routing(1, "argmax"), "scoring is 'argmax', must be softmax or sigmoid"),
        (Routing(1, scale=float("nan")), "scale is nan, must be finite"),
    ],
)
def test_routings_that_make_no_sense_are_refused(routing: Routing, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture(1)(np.zeros((1, FEATURES), np.float32), np.zeros((1, COUNT), np.float32), routing)


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
