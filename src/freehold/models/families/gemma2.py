"""Gemma 2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from freehold.checkpoints.base import Checkpoint
from freehold.errors import ConfigError
from freehold.models.blocks import Attention, Block, GatedMLP, Layer
from freehold.models.config import ModelConfig
from freehold.models.decoder import Decoder
from freehold.models.fields import Fields
from freehold.models.translate import (
    ACTIVATIONS,
    decoder_from_gguf,
    decoder_from_hugging_face,
    gguf_layer_count,
    layer_count,
    window_words,
    windows_by_type,
)
from freehold.models.weights import LESS_ONE, Stored, WeightMap, with_names
from freehold.ops.base import AttentionRules

# GGUF does not say what scores are divided by: the 27B, known by its layers, divides by the root of hidden / heads.
LAYERS_OF_27B = 46
# What llama.cpp takes where a file says nothing of a softcap.
GGUF_ATTENTION_SOFTCAP, GGUF_LOGIT_SOFTCAP = 50.0, 30.0
NORMS = {
    "norm": "model.norm",
    "blocks.{i}.attention_norm": "model.layers.{i}.input_layernorm",
    "blocks.{i}.attention_post_norm": "model.layers.{i}.post_attention_layernorm",
    "blocks.{i}.mlp_norm": "model.layers.{i}.pre_feedforward_layernorm",
    "blocks.{i}.mlp_post_norm": "model.layers.{i}.post_feedforward_layernorm",
}


@dataclass(frozen=True, kw_only=True)
class Gemma2Config(ModelConfig):
    """Numbers of Gemma 2 alone.

    Attributes:
        attention_softcap: bounds the scores, see `AttentionRules`.
    """

    attention_softcap: float | None


class Gemma2(Decoder):
    """Softcapped attention, alternately windowed; norms before and behind each half of a layer; scaled embedding."""

    config: Gemma2Config
    model_type = "gemma2"
    gguf_architecture = "gemma2"
    weights = WeightMap(
        modules=with_names(
            ("norm", None, "output_norm"),
            ("blocks.{i}.attention_norm", None, "blk.{i}.attn_norm"),
            ("blocks.{i}.attention_post_norm", None, "blk.{i}.post_attention_norm"),
            ("blocks.{i}.mlp_norm", None, "blk.{i}.ffn_norm"),
            ("blocks.{i}.mlp_post_norm", None, "blk.{i}.post_ffw_norm"),
        ),
        hugging_face=tuple(Stored((ours,), theirs, values=LESS_ONE) for ours, theirs in NORMS.items()),
    )

    def block(self, config: ModelConfig, layer: int) -> Layer:
        assert isinstance(config, Gemma2Config)
        rules = AttentionRules(config.attention_scale, window=config.windows[layer], softcap=config.attention_softcap)
        return Block(
            attention=Attention(config, rules=rules),
            mlp=GatedMLP(config),
            norm=lambda: self.norm_over(config, config.hidden),
            post_norms=True,
        )

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        if fields.boolean("use_bidirectional_attention", False):
            raise fields.refuse("use_bidirectional_attention", "false")
        bias = fields.boolean("attention_bias", False)
        layers = layer_count(fields)
        key = "hidden_activation" if fields.has("hidden_activation") else "hidden_act"
        return decoder_from_hugging_face(
            fields,
            Gemma2Config,
            "Gemma2ForCausalLM",
            activation=fields.choice(key, ACTIVATIONS, "gelu_pytorch_tanh"),
            windows=windows_by_type(fields, layers, default=_alternating(layers)),
            query_scale=fields.number("query_pre_attn_scalar", 256.0) ** -0.5,
            embedding_scale=fields.integer("hidden_size") ** 0.5,
            attention_softcap=fields.optional_number("attn_logit_softcapping"),
            logit_softcap=fields.optional_number("final_logit_softcapping"),
            tied_embeddings=fields.boolean("tie_word_embeddings", True),
            qkv_bias=bias,
            output_bias=bias,
        )

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, Gemma2Config)
        activation = next(theirs for theirs, ours in ACTIVATIONS.items() if ours == config.activation)
        return {
            "attention_bias": config.qkv_bias,
            "hidden_act": activation,
            "hidden_activation": activation,
            "query_pre_attn_scalar": _whole(config.attention_scale**-2),
            "attn_logit_softcapping": config.attention_softcap,
            "final_logit_softcapping": config.logit_softcap,
        } | window_words(config)

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        layers = gguf_layer_count(fields)
        window = fields.integer("attention.sliding_window")
        hidden, heads = fields.integer("embedding_length"), fields.integer("attention.head_count")
        return decoder_from_gguf(
            fields,
            checkpoint,
            Gemma2Config,
            "Gemma2ForCausalLM",
            activation="gelu_tanh",
            windows=tuple(window if sliding else None for sliding in _alternating(layers)),
            query_scale=(hidden // heads) ** -0.5 if layers == LAYERS_OF_27B else None,
            embedding_scale=hidden**0.5,
            attention_softcap=fields.number("attn_logit_softcapping", GGUF_ATTENTION_SOFTCAP),
            logit_softcap=fields.number("final_logit_softcapping", GGUF_LOGIT_SOFTCAP),
            tied_embeddings=True,
        )

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, Gemma2Config)
        window = next((window for window in config.windows if window), None)
        scale = (config.hidden // config.heads if config.layers == LAYERS_OF_27B else config.head_dim) ** -0.5
        said = {
            "windows on every other layer": tuple(
                window if sliding else None for sliding in _alternating(config.layers)
            )
            == config.windows
            and window is not None,
            "softcaps": config.attention_softcap is not None and config.logit_softcap is not None,
            f"a query scale of {scale:g}": abs(config.attention_scale - scale) < 1e-9,
            "no biases, tanh GELU and a tied head": (config.qkv_bias, config.activation, config.tied_embeddings)
            == (False, "gelu_tanh", True),
        }
        for what, holds in said.items():
            if not holds:
                raise ConfigError(f"GGUF's `gemma2` has {what} without saying so", hint="export to safetensors")
        return {
            "attention.sliding_window": window,
            "attn_logit_softcapping": config.attention_softcap,
            "final_logit_softcapping": config.logit_softcap,
        }


def _whole(number: float) -> int | float:
    """The whole number that is meant, where one is."""
    nearest = round(number)
    return nearest if math.isclose(number, nearest, rel_tol=1e-9) else number


def _alternating(layers: int) -> tuple[bool, ...]:
    """Whether each layer has a window: every other one, the first among them."""
    return tuple(layer % 2 == 0 for layer in range(layers))
