"""Linear attention with a gated delta rule (Yang et al. 2024)."""

from __future__ import annotations

from freehold.models.blocks.attention import Mixer, Step
from freehold.models.blocks.leaf import Linear, Precision, RMSNorm, Vector
from freehold.models.config import ModelConfig
from freehold.ops.base import Array, CacheKind, DeltaCache, DeltaWeights, LayerCache, Ops


class DeltaNet(Mixer):
    """Keeps one state per sequence instead of keys and values per position; see `Ops.delta_rule`.

    What each head reads from its state is normalised and multiplied by SiLU of a gate.

    Args:
        shape: of the layer.
    """

    def __init__(self, config: ModelConfig, shape: DeltaCache):
        self.shape = shape
        self.values = shape.value_heads * shape.value_dim
        self.input = Linear(config.hidden, {"qkv": shape.channels, "gate": self.values})
        # A decay takes effect at every later position, so its error would, too.
        controls = {"decay": shape.value_heads, "beta": shape.value_heads}
        self.controls = Linear(config.hidden, controls, precision=Precision.AS_STORED)
        self.convolution = Vector(shape.channels, shape.width)
        self.rates = Vector(shape.value_heads)
        self.offsets = Vector(shape.value_heads, kind="bias")
        self.norm = RMSNorm(shape.value_dim, epsilon=config.norm_epsilon)
        self.result = Linear(self.values, config.hidden)

    def cache(self) -> CacheKind:
        return self.shape

    def __call__(self, ops: Ops, x: Array, step: Step, cache: LayerCache | None, onto: Array | None = None) -> Array:
        made, controls = self.input(ops, x), self.controls(ops, x)
        channels, heads = self.shape.channels, self.shape.value_heads
        mixed = ops.delta_rule(
            made[:, :channels],
            controls[:, :heads],
            controls[:, heads:],
            step.batch,
            cache,
            weights=DeltaWeights(self.convolution.weight, self.rates.weight, self.offsets.weight),
            shape=self.shape,
        )
        normalised = self.norm(ops, mixed).reshape(step.batch.tokens, self.values)
        return self.result(ops, ops.gate(normalised, made[:, channels:], "silu"), onto)
