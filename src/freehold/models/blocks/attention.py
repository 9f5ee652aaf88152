"""Grouped-query attention with rotary positions."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.models.blocks.leaf import Linear, Module
from freehold.models.config import ModelConfig
from freehold.ops.base import Array, AttentionCache, LayerCache, Ops, Rotation
from freehold.ops.batch import Batch


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What every layer needs to know about the step at hand."""

    batch: Batch
    rotation: Rotation


class Attention(Module):
    """Queries, keys and values in one product; heads share KV heads in groups.

    Args:
        window: positions a row sees, itself included; None for all before it.
    """

    def __init__(self, config: ModelConfig, *, window: int | None = None):
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.scale = config.attention_scale
        self.window = window
        keys = self.kv_heads * self.head_dim
        self.qkv = Linear(config.hidden, {"q": self.heads * self.head_dim, "k": keys, "v": keys}, bias=config.qkv_bias)
        self.output = Linear(self.heads * self.head_dim, config.hidden, bias=config.output_bias)

    def cache(self) -> AttentionCache:
        return AttentionCache(self.kv_heads, self.head_dim)

    def __call__(self, ops: Ops, x: Array, step: Step, cache: LayerCache | None) -> Array:
        qkv = self.qkv(ops, x)
        tokens, queries, keys = step.batch.tokens, self.heads * self.head_dim, self.kv_heads * self.head_dim
        q = qkv[:, :queries].reshape(tokens, self.heads, self.head_dim)
        k = qkv[:, queries : queries + keys].reshape(tokens, self.kv_heads, self.head_dim)
        v = qkv[:, queries + keys :].reshape(tokens, self.kv_heads, self.head_dim)
        q, k = ops.rope(q, step.rotation), ops.rope(k, step.rotation)
        mixed = ops.attention(q, k, v, step.batch, cache, scale=self.scale, window=self.window)
        return self.output(ops, mixed)
