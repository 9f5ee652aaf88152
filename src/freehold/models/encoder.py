"""Encoders: every position of a text sees all the others, and what comes out describes the text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from freehold.models.blocks import MLP, Attention, Layer, LayerNorm, Linear, Norm, Precision, Step
from freehold.models.config import ModelConfig
from freehold.models.network import Network
from freehold.ops.base import Array, AttentionRules, LayerCache, Ops
from freehold.ops.batch import Batch


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(ModelConfig):
    """Numbers of encoders alone.

    Attributes:
        first_position: row of the position table for the first token.
        token_types: rows of the table for kinds of text; every token is of the first.
    """

    first_position: int
    token_types: int


class PostNormBlock(Layer):
    """norm(x + attention(x)), then norm(x + mlp(x)) (Vaswani et al. 2017)."""

    def __init__(self, config: ModelConfig):
        rules = AttentionRules(config.attention_scale, causal=False)
        self.attention: Attention = Attention(config, rules=rules, rotated=False)
        self.attention_norm = LayerNorm(config.hidden, epsilon=config.norm_epsilon)
        self.mlp = MLP(config)
        self.mlp_norm = LayerNorm(config.hidden, epsilon=config.norm_epsilon)

    def __call__(self, ops: Ops, x: Array, step: Step, cache: LayerCache | None) -> Array:
        x = self.attention_norm(ops, self.attention(ops, x, step, cache, onto=x))
        return self.mlp_norm(ops, self.mlp(ops, x, onto=x))


class Encoder(Network):
    """Embeddings of tokens, positions and kinds of text; then layers with norms behind each half."""

    config: EncoderConfig

    def __init__(self, config: ModelConfig, ops: Ops):
        assert isinstance(config, EncoderConfig)
        self.config = config
        self.ops = ops
        small = Precision.EIGHT_BITS_AT_LEAST
        self.embedding = Linear(config.hidden, config.vocabulary, precision=small)
        self.positions = Linear(config.hidden, config.first_position + config.context_length, precision=small)
        self.types = Linear(config.hidden, config.token_types, precision=small)
        self.norm: Norm = LayerNorm(config.hidden, epsilon=config.norm_epsilon)
        self.blocks = [PostNormBlock(config) for _ in range(config.layers)]

    def forward(self, batch: Batch) -> Array:
        """What the model makes of each token.

        Args:
            batch: whole sequences, see `Batch.whole`.

        Returns:
            [tokens, hidden], in the backend's array type.
        """
        ops = self.ops
        x = ops.embed(self.embedding.weight, batch.token_ids)
        x = ops.add(x, ops.embed(self.positions.weight, batch.positions + np.int32(self.config.first_position)))
        x = ops.add(x, ops.embed(self.types.weight, np.zeros_like(batch.token_ids)))
        x = self.norm(ops, x)
        for block in self.blocks:
            x = block(ops, x, Step(batch, None), None)
        return x
