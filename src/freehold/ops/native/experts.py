"""Mixtures of experts, and weights of which each head has its own, on the native kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freehold import _kernels
from freehold.ops.base import Routing
from freehold.ops.native.arrays import empty
from freehold.ops.native.weights import pack_linear
from freehold.tensors import Tensor, WeightType

Float32Array = npt.NDArray[np.float32]


def pack_experts(
    parts: Sequence[Sequence[Tensor]], bias: Sequence[Sequence[Tensor | None]] | None, dtype: WeightType | None
) -> _kernels.ExpertsWeight:
    """See `Ops.pack_experts`; every expert is packed by itself, as `pack_linear` does."""
    if bias is not None and len(bias) != len(parts):
        raise ValueError(f"there are biases of {len(bias)} experts for {len(parts)} experts")
    return _kernels.ExpertsWeight(
        [pack_linear(part, None if bias is None else bias[expert], dtype) for expert, part in enumerate(parts)]
    )


def experts(
    x: Float32Array,
    router_logits: Float32Array,
    gate_up: _kernels.ExpertsWeight,
    down: _kernels.ExpertsWeight,
    *,
    selection_bias: Float32Array | None,
    routing: Routing,
    activation: str,
    limit: float | None,
) -> Float32Array:
    """See `Ops.experts`. A row whose logits cannot be ranked, because there is NaN among them, becomes NaN."""
    out = empty((len(x), down.outputs))
    _kernels.experts(
        x,
        router_logits,
        gate_up,
        down,
        selection_bias=selection_bias,
        top_k=routing.top_k,
        scoring=routing.scoring,
        normalise=routing.normalise,
        scale=routing.scale,
        groups=routing.groups,
        groups_kept=routing.groups_kept,
        weigh_inputs=routing.weigh_inputs,
        activation=activation,
        limit=limit,
        out=out,
    )
    return out


def head_linear(x: Float32Array, weight: _kernels.ExpertsWeight) -> Float32Array:
    """See `Ops.head_linear`; rows and heads of x may lie apart."""
    out = empty((len(x), weight.count, weight.outputs))
    _kernels.head_linear(x, weight, out)
    return out
