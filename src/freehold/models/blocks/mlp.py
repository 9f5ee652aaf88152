"""The gated feed-forward network."""

from __future__ import annotations

from freehold.models.blocks.leaf import Linear, Module
from freehold.models.config import ModelConfig
from freehold.ops.base import Array, Ops


class GatedMLP(Module):
    """down(activation(gate(x)) * up(x)) (Shazeer 2020)."""

    def __init__(self, config: ModelConfig):
        self.activation = config.activation
        self.gate_up = Linear(
            config.hidden, {"gate": config.intermediate, "up": config.intermediate}, bias=config.mlp_bias
        )
        self.down = Linear(config.intermediate, config.hidden, bias=config.mlp_bias)

    def __call__(self, ops: Ops, x: Array) -> Array:
        return ops.gated_mlp(x, self.gate_up.weight, self.down.weight, self.activation)
