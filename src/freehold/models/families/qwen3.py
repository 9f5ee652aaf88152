"""Qwen 3, the dense ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from freehold.checkpoints.base import Checkpoint
from freehold.errors import ConfigError
from freehold.models.blocks import Attention, Block, FeedForward, GatedMLP, Layer
from freehold.models.config import ModelConfig
from freehold.models.decoder import Decoder
from freehold.models.describe import require_words
from freehold.models.fields import Fields
from freehold.models.translate import (
    decoder_from_gguf,
    decoder_from_hugging_face,
    layer_count,
    window_words,
    windows_by_type,
)
from freehold.models.weights import WeightMap, with_names
from freehold.ops.base import AttentionRules

NORMS_OF_HEADS = (
    ("blocks.{i}.attention.q_norm", "model.layers.{i}.self_attn.q_norm", "blk.{i}.attn_q_norm"),
    ("blocks.{i}.attention.k_norm", "model.layers.{i}.self_attn.k_norm", "blk.{i}.attn_k_norm"),
)


class Qwen3(Decoder):
    """Llama's shape; each head's queries and keys are normalised; optionally a window on some layers."""

    model_type = "qwen3"
    gguf_architecture: ClassVar[str] = "qwen3"
    weights = WeightMap(modules=with_names(*NORMS_OF_HEADS))

    def block(self, config: ModelConfig, layer: int) -> Layer:
        attention = Attention(
            config,
            rules=AttentionRules(config.attention_scale, window=config.windows[layer]),
            q_norm=self.norm_over(config, config.head_dim),
            k_norm=self.norm_over(config, config.head_dim),
        )
        return Block(
            attention=attention,
            mlp=self.feed_forward(config, layer),
            norm=lambda: self.norm_over(config, config.hidden),
        )

    def feed_forward(self, config: ModelConfig, layer: int) -> FeedForward:
        """The second half of the layer of that number."""
        return GatedMLP(config)

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        layers = layer_count(fields)
        windowed = fields.boolean("use_sliding_window", False) and fields.has("sliding_window")
        full = fields.integer("max_window_layers", 28, least=0) if windowed else layers
        windows = windows_by_type(fields, layers, default=tuple(layer >= full for layer in range(layers)))
        if not windowed and set(windows) != {None}:
            raise fields.refuse("use_sliding_window", "true, where `layer_types` asks for windows")
        bias = fields.boolean("attention_bias", False)
        return decoder_from_hugging_face(
            fields,
            ModelConfig,
            "Qwen3ForCausalLM",
            head_dim=fields.integer("head_dim", 128),
            qkv_bias=bias,
            output_bias=bias,
            windows=windows,
        )

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> Mapping[str, Any]:
        if config.qkv_bias != config.output_bias:
            raise ConfigError("config.json cannot say that only some of Qwen 3's attention projections have biases")
        window = next((one for one in config.windows if one is not None), None)
        return {
            "attention_bias": config.qkv_bias,
            "use_sliding_window": window is not None,
            "max_window_layers": next((layer for layer, one in enumerate(config.windows) if one), config.layers),
            **window_words(config),
        }

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        if fields.has("attention.sliding_window"):
            raise fields.refuse("attention.sliding_window", "none")
        return decoder_from_gguf(
            fields,
            checkpoint,
            ModelConfig,
            "Qwen3ForCausalLM",
            qkv_bias="blk.0.attn_q.bias" in checkpoint.tensors,
            output_bias="blk.0.attn_output.bias" in checkpoint.tensors,
        )

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> Mapping[str, Any]:
        require_words(
            cls.gguf_architecture,
            {
                "full attention in every layer": set(config.windows) == {None},
                "no bias behind the attention": not config.output_bias,
            },
        )
        return {}
