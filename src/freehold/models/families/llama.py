"""Llama 2, 3, 3.1, 3.2 and 3.3, and the many models of the same shape."""

from __future__ import annotations

from freehold.checkpoints.base import Checkpoint
from freehold.models.config import ModelConfig
from freehold.models.decoder import Decoder
from freehold.models.fields import Fields
from freehold.models.translate import decoder_from_gguf, decoder_from_hugging_face
from freehold.models.weights import WeightMap


class Llama(Decoder):
    """Grouped-query attention, gated MLP, RMSNorm before each; RoPE with Llama 3.1's scaling."""

    weights = WeightMap(interleaved=("blocks.{i}.attention.qkv.q", "blocks.{i}.attention.qkv.k"))

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        bias = fields.boolean("attention_bias", False)
        return decoder_from_hugging_face(
            fields,
            "LlamaForCausalLM",
            qkv_bias=bias,
            output_bias=bias,
            mlp_bias=fields.boolean("mlp_bias", False),
        )

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        return decoder_from_gguf(
            fields,
            checkpoint,
            "LlamaForCausalLM",
            qkv_bias="blk.0.attn_q.bias" in checkpoint.tensors,
            output_bias="blk.0.attn_output.bias" in checkpoint.tensors,
            mlp_bias="blk.0.ffn_up.bias" in checkpoint.tensors,
        )
