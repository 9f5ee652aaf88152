"""Feed-forward networks."""

from __future__ import annotations

from freehold.models.blocks.block import FeedForward
from freehold.models.blocks.leaf import Linear
from freehold.models.config import ModelConfig
from freehold.ops.base import Array, Ops


class GatedMLP(FeedForward):
    """down(activation(gate(x)) * up(x)) (Shazeer 2020).

    Args:
        intermediate: its width; None for the configuration's.
        limit: of the activation, see `Ops.gated_mlp`.
    """

    def __init__(self, config: ModelConfig, *, intermediate: int | None = None, limit: float | None = None):
        width = config.intermediate if intermediate is None else intermediate
        self.activation = config.activation
        self.limit = limit
        self.gate_up = Linear(config.hidden, {"gate": width, "up": width}, bias=config.mlp_bias)
        self.down = Linear(width, config.hidden, bias=config.mlp_bias)

    def __call__(self, ops: Ops, x: Array, onto: Array | None = None) -> Array:
        return ops.gated_mlp(x, self.gate_up.weight, self.down.weight, self.activation, self.limit, onto=onto)


class MLP(FeedForward):
    """down(activation(up(x)))."""

    def __init__(self, config: ModelConfig):
        self.activation = config.activation
        self.up = Linear(config.hidden, config.intermediate, bias=config.mlp_bias)
        self.down = Linear(config.intermediate, config.hidden, bias=config.mlp_bias)

    def __call__(self, ops: Ops, x: Array, onto: Array | None = None) -> Array:
        return self.down(ops, ops.activate(self.up(ops, x), self.activation), onto)
