"""Row operations and mixtures of experts are the same on both backends, within float32's rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from freehold.ops.base import Ops, Routing
from freehold.ops.native import NativeOps
from freehold.ops.torch import TorchOps
from freehold.tensors import Tensor

Float32Array = npt.NDArray[np.float32]

ACTIVATIONS = ["silu", "gelu", "gelu_tanh", "relu", "sigmoid", "tanh"]
ROUTINGS = [
    Routing(2),
    Routing(2, normalise=False),
    Routing(3, "sigmoid", scale=2.5),
    Routing(3, "sigmoid", groups=4, groups_kept=2),
    Routing(2, groups=2, groups_kept=1),
    Routing(1, "sigmoid", normalise=False, weigh_inputs=True),
]
BACKENDS: list[Ops] = [NativeOps("f32"), TorchOps()]


def values(seed: int, *shape: int) -> Float32Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def tensor(seed: int, *shape: int) -> Tensor:
    return Tensor.from_array("values", values(seed, *shape))


def agree(name: str, *arguments: Any, **options: Any) -> None:
    """The operation gives the same. Arrays become the backend's own; a function makes a weight for it."""

    def of(ops: Ops, argument: Any) -> Any:
        if callable(argument):
            return argument(ops)
        return ops.vector(Tensor.from_array("x", argument.copy())) if isinstance(argument, np.ndarray) else argument

    def result(ops: Ops) -> Float32Array:
        own = {option: of(ops, one) for option, one in options.items()}
        return ops.to_numpy(getattr(ops, name)(*(of(ops, one) for one in arguments), **own))

    native, torch = (result(ops) for ops in BACKENDS)
    np.testing.assert_allclose(native, torch, rtol=2e-5, atol=2e-6 * np.abs(torch).max())


@pytest.mark.parametrize("weight", [None, values(3, 40), values(4, 3, 40)])
def test_norms(weight: Float32Array | None) -> None:
    x = values(1, 5, 3, 40)
    agree("rms_norm", x, weight, 1e-6)
    agree("layer_norm", x, weight, None, 1e-6)
    agree("layer_norm", x, None, weight, 1e-6)
    agree("layer_norm", x, weight, weight, 1e-6)
    if weight is None or weight.ndim == 1:
        agree("rms_norm", x[:, 0], weight, 1e-6)
        agree("layer_norm", x[:, 0], weight, weight, 1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_and_gates(activation: str) -> None:
    x, gates = 3 * values(1, 5, 37), 3 * values(2, 5, 37)
    agree("activate", x, activation)
    agree("gate", x, gates, activation)
    agree("gate", x, gates[:, :1], activation)
    agree("gate", x.reshape(5, 1, 37), gates.reshape(5, 1, 37), activation)


def test_factors_and_caps() -> None:
    x = 40 * values(1, 5, 2, 19)
    agree("softcap", x, 30.0)
    agree("scale", x, 0.3)
    for rows in (x, x[:, 0]):
        agree("scale", rows, lambda _: values(2, 5))


@pytest.mark.parametrize("onto", [None, values(5, 5, 24)])
@pytest.mark.parametrize("biased", [False, True])
def test_products(biased: bool, onto: Float32Array | None) -> None:
    bias = [tensor(3, 24)] if biased else None
    agree("linear", values(1, 5, 40), lambda ops: ops.pack_linear([tensor(2, 24, 40)], bias, None), onto)


@pytest.mark.parametrize("onto", [None, values(5, 5, 40)])
@pytest.mark.parametrize(("activation", "limit"), [*((name, None) for name in ACTIVATIONS), ("clamped_swiglu", 2.0)])
def test_gated_mlps(activation: str, limit: float | None, onto: Float32Array | None) -> None:
    agree(
        "gated_mlp",
        values(1, 5, 40),
        lambda ops: ops.pack_linear([tensor(2, 24, 40), tensor(3, 24, 40)], None, None),
        lambda ops: ops.pack_linear([tensor(4, 40, 24)], None, None),
        activation,
        limit,
        onto=onto,
    )


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("routing", ROUTINGS, ids=str)
def test_mixtures_of_experts(routing: Routing, biased: bool) -> None:
    def packed(seed: int, *shapes: tuple[int, int]) -> Any:
        experts = range(8)
        parts = [[tensor(seed + 10 * one + i, *shape) for i, shape in enumerate(shapes)] for one in experts]
        bias = [[tensor(seed + 10 * one + i, shape[0]) for i, shape in enumerate(shapes)] for one in experts]
        return lambda ops: ops.pack_experts(parts, bias if biased else None, None)

    agree(
        "experts",
        values(1, 33, 40),
        2 * values(2, 33, 8),
        packed(3, (24, 40), (24, 40)),
        packed(5, (40, 24)),
        selection_bias=0.3 * values(4, 8) if biased else None,
        routing=routing,
        activation="clamped_swiglu" if biased else "silu",
        limit=2.0 if biased else None,
    )


def test_heads_with_weights_of_their_own() -> None:
    def packed(ops: Ops) -> Any:
        return ops.pack_experts([[tensor(seed, 13, 40)] for seed in range(3)], None, None)

    agree("head_linear", values(1, 5, 3, 40), packed)
