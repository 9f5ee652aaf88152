"""Random mixtures of experts, and what they should make of rows, in NumPy and float64."""

from __future__ import annotations

import numpy as np

from freehold import _kernels
from freehold.ops.base import Routing
from freehold.ops.native import NativeOps
from freehold.tensors import Tensor, TensorType
from tests.native import reference
from tests.native.reference import Float32Array, Float64Array

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
