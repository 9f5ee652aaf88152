"""Llama 2, 3, 3.1, 3.2 and 3.3, and the many models of the same shape."""

from __future__ import annotations

from typing import Any

from freehold.checkpoints.base import Checkpoint
from freehold.errors import ConfigError
from freehold.models.config import ModelConfig
from freehold.models.decoder import Decoder
from freehold.models.fields import Fields
from freehold.models.translate import decoder_from_gguf, decoder_from_hugging_face, experts_from_gguf
from freehold.models.weights import Stored, WeightMap, heads_in_pairs


class Llama(Decoder):
    """Grouped-query attention, gated MLP, RMSNorm before each; RoPE with Llama 3.1's scaling."""

    model_type = "llama"
    gguf_architecture = "llama"
    weights = WeightMap(
        gguf=(
            Stored(("blocks.{i}.attention.qkv.q",), "blk.{i}.attn_q", order=heads_in_pairs),
            Stored(("blocks.{i}.attention.qkv.k",), "blk.{i}.attn_k", order=heads_in_pairs),
        )
    )

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        bias = fields.boolean("attention_bias", False)
        return decoder_from_hugging_face(
            fields,
            ModelConfig,
            "LlamaForCausalLM",
            qkv_bias=bias,
            output_bias=bias,
            mlp_bias=fields.boolean("mlp_bias", False),
        )

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> dict[str, Any]:
        if config.qkv_bias != config.output_bias:
            raise ConfigError("config.json cannot say that only some of Llama's attention projections have biases")
        return {"attention_bias": config.qkv_bias, "mlp_bias": config.mlp_bias}

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        # GGUF calls Mistral and Mixtral `llama` too: only those have windows, only the latter has experts.
        architecture = "MistralForCausalLM" if fields.has("attention.sliding_window") else "LlamaForCausalLM"
        experts = None
        if fields.integer("expert_count", 0, least=0):
            architecture = "MixtralForCausalLM"
            experts = experts_from_gguf(fields, fields.integer("feed_forward_length"))
        return decoder_from_gguf(
            fields,
            checkpoint,
            ModelConfig,
            architecture,
            experts=experts,
            qkv_bias="blk.0.attn_q.bias" in checkpoint.tensors,
            output_bias="blk.0.attn_output.bias" in checkpoint.tensors,
            mlp_bias="blk.0.ffn_up.bias" in checkpoint.tensors,
        )
