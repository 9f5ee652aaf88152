"""One layer of a decoder: attention and MLP, each behind a norm and around a residual."""

from __future__ import annotations

from freehold.models.blocks.attention import Attention, Step
from freehold.models.blocks.leaf import Module, RMSNorm
from freehold.models.blocks.mlp import GatedMLP
from freehold.models.config import ModelConfig
from freehold.ops.base import Array, LayerCache, Ops


class Block(Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: ModelConfig, *, attention: Attention, mlp: GatedMLP):
        self.attention_norm = RMSNorm(config.hidden, config.norm_epsilon)
        self.attention = attention
        self.mlp_norm = RMSNorm(config.hidden, config.norm_epsilon)
        self.mlp = mlp

    def __call__(self, ops: Ops, x: Array, step: Step, cache: LayerCache | None) -> Array:
        x = ops.add(x, self.attention(ops, self.attention_norm(ops, x), step, cache))
        return ops.add(x, self.mlp(ops, self.mlp_norm(ops, x)))
