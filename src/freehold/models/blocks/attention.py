"""Grouped-query attention."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold.models.blocks.leaf import Constant, Linear, Module, Norm, Vector
from freehold.models.config import ModelConfig
from freehold.ops.base import Array, AttentionCache, AttentionRules, CacheKind, LayerCache, Ops, Rotation
from freehold.ops.batch import Batch


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What every layer needs to know about the step at hand.

    Attributes:
        batch: the step.
        rotation: of the rotary embedding; None for models without one.
    """

    batch: Batch
    rotation: Rotation | None


class Mixer(Module):
    """What lets a sequence's rows see each other: attention of any kind. Each layer has one."""

    @abstractmethod
    def cache(self) -> CacheKind:
        """What it keeps of a sequence."""

    @abstractmethod
    def __call__(self, ops: Ops, x: Array, step: Step, cache: LayerCache | None, onto: Array | None = None) -> Array:
        """[tokens, hidden] -> [tokens, hidden]. Leaves x as it is, unless that is `onto`.

        Args:
            onto: [tokens, hidden], what the result is added to. May be overwritten, and may be x.
        """


class Attention(Mixer):
    """Queries, keys and values in one product; heads share KV heads in groups.

    A family that does something else with positions overrides `place`.

    Args:
        rules: who sees whom; None for plain causal attention at the configuration's scale.
        rotated: whether queries and keys are rotated.
        q_norm, k_norm: normalise each head's queries and keys before they are rotated.
        sinks: whether each head has a sink, see `Ops.attention`.
        slopes: of ALiBi, [heads], see `Ops.attention`.
        gated: whether the result of each head is multiplied by the sigmoid of a gate of its own, a part of `qkv`.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        rules: AttentionRules | None = None,
        rotated: bool = True,
        q_norm: Norm | None = None,
        k_norm: Norm | None = None,
        sinks: bool = False,
        slopes: npt.NDArray[np.float32] | None = None,
        gated: bool = False,
    ):
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.rules = rules or AttentionRules(config.attention_scale)
        self.rotated = rotated
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        parts = {"q": queries, "k": keys, "v": keys} | ({"gate": queries} if gated else {})
        self.qkv = Linear(config.hidden, parts, bias=config.qkv_bias)
        self.gated, self.gates_from = gated, queries + 2 * keys
        self.q_norm, self.k_norm = q_norm, k_norm
        self.sinks = Vector(self.heads) if sinks else None
        self.slopes = None if slopes is None else Constant(slopes)
        self.output = Linear(queries, config.hidden, bias=config.output_bias)

    def cache(self) -> CacheKind:
        return AttentionCache(self.kv_heads, self.head_dim)

    def __call__(self, ops: Ops, x: Array, step: Step, cache: LayerCache | None, onto: Array | None = None) -> Array:
        qkv = self.qkv(ops, x)
        rotated = self.heads + self.kv_heads
        heads = (qkv[:, : self.gates_from] if self.gated else qkv).reshape(-1, rotated + self.kv_heads, self.head_dim)
        q, k = self.place(ops, heads[:, :rotated], step)
        v = heads[:, rotated:]
        sinks = None if self.sinks is None else self.sinks.weight
        slopes = None if self.slopes is None else self.slopes.weight
        mixed = ops.attention(q, k, v, step.batch, cache, rules=self.rules, sinks=sinks, slopes=slopes)
        if self.gated:
            mixed = ops.gate(mixed, qkv[:, self.gates_from :], "sigmoid")
        return self.output(ops, mixed, onto)

    def place(self, ops: Ops, heads: Array, step: Step) -> tuple[Array, Array]:
        """Tell queries and keys where they are.

        Args:
            heads: [tokens, heads + kv_heads, head_dim], the queries before the keys. May be overwritten.

        Returns:
            queries [tokens, heads, head_dim] and keys [tokens, kv_heads, head_dim].
        """
        if self.q_norm is None and self.k_norm is None:
            heads = ops.rope(heads, step.rotation) if self.rotated else heads
            return heads[:, : self.heads], heads[:, self.heads :]
        q, k = heads[:, : self.heads], heads[:, self.heads :]
        if self.q_norm is not None:
            q = self.q_norm(ops, q)
        if self.k_norm is not None:
            k = self.k_norm(ops, k)
        if self.rotated:
            q, k = ops.rope(q, step.rotation), ops.rope(k, step.rotation)
        return q, k
