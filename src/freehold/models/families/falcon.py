"""Falcon 7B, 40B and RW, and Falcon 2 11B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from freehold.checkpoints.base import Checkpoint
from freehold.errors import ConfigError
from freehold.models.alibi import alibi_slopes
from freehold.models.blocks import MLP, Attention, Block, Layer, LayerNorm, Norm, ParallelBlock
from freehold.models.config import ModelConfig
from freehold.models.decoder import Decoder
from freehold.models.fields import Fields
from freehold.models.translate import (
    ACTIVATIONS,
    decoder_from_gguf,
    decoder_from_hugging_face,
    rope_from_hugging_face,
)
from freehold.models.weights import Stored, WeightMap
from freehold.models.weights.orders import Int64Array

QKV = ("blocks.{i}.attention.qkv.q", "blocks.{i}.attention.qkv.k", "blocks.{i}.attention.qkv.v")


def grouped(config: ModelConfig, rows: int) -> Int64Array:
    """For each KV head in turn its queries, its key and its value."""
    group, size = config.heads // config.kv_heads, config.head_dim
    numbers = np.arange(rows)
    q, k, v = np.split(numbers, [config.heads * size, (config.heads + config.kv_heads) * size])
    parts = [q.reshape(config.kv_heads, group * size), k.reshape(-1, size), v.reshape(-1, size)]
    order: Int64Array = np.concatenate(parts, axis=1).reshape(-1)
    return order


@dataclass(frozen=True, kw_only=True)
class FalconConfig(ModelConfig):
    """Numbers of Falcon alone.

    Attributes:
        parallel: whether attention and MLP read the same residual stream.
        norms: norms of a parallel layer, 1 that both share or 2.
        many_kv_heads: whether the file says `new_decoder_architecture`.
    """

    parallel: bool
    norms: int
    many_kv_heads: bool


class Falcon(Decoder):
    """Attention beside the MLP, few KV heads in one fused projection, LayerNorm; ALiBi in the RW models."""

    config: FalconConfig
    model_type = "falcon"
    gguf_architecture = "falcon"
    released_code = frozenset(
        f"{module}.{name}"
        for module, names in {
            "configuration_RW": ("RWConfig",),
            "configuration_falcon": ("FalconConfig",),
            "modelling_RW": ("RWForCausalLM", "RWModel"),
            "modeling_falcon": ("FalconForCausalLM", "FalconModel"),
        }.items()
        for name in names
    )
    weights = WeightMap(
        modules=(
            ("embedding", "transformer.word_embeddings", "token_embd"),
            # One norm for both, or one for each side, or, in layers in sequence, one after the other.
            ("blocks.{i}.norm", "transformer.h.{i}.input_layernorm", "blk.{i}.attn_norm"),
            ("blocks.{i}.side_attention_norm", "transformer.h.{i}.ln_attn", "blk.{i}.attn_norm_2"),
            ("blocks.{i}.side_mlp_norm", "transformer.h.{i}.ln_mlp", "blk.{i}.attn_norm"),
            ("blocks.{i}.attention_norm", "transformer.h.{i}.input_layernorm", None),
            ("blocks.{i}.mlp_norm", "transformer.h.{i}.post_attention_layernorm", None),
            ("blocks.{i}.attention.output", "transformer.h.{i}.self_attention.dense", "blk.{i}.attn_output"),
            ("blocks.{i}.mlp.up", "transformer.h.{i}.mlp.dense_h_to_4h", "blk.{i}.ffn_up"),
            ("blocks.{i}.mlp.down", "transformer.h.{i}.mlp.dense_4h_to_h", "blk.{i}.ffn_down"),
            ("norm", "transformer.ln_f", "output_norm"),
            ("head", "lm_head", "output"),
        ),
        hugging_face=(Stored(QKV, "transformer.h.{i}.self_attention.query_key_value", order=grouped),),
        gguf=(Stored(QKV, "blk.{i}.attn_qkv"),),
    )

    def block(self, config: ModelConfig, layer: int) -> Layer:
        assert isinstance(config, FalconConfig)
        # The bias is added before scores are scaled.
        slopes = alibi_slopes(config.heads) * np.float32(config.attention_scale) if config.rope is None else None
        attention, mlp = Attention(config, rotated=config.rope is not None, slopes=slopes), MLP(config)

        def norm() -> Norm:
            return self.norm_over(config, config.hidden)

        if config.parallel:
            return ParallelBlock(attention=attention, mlp=mlp, norm=norm, shared_norm=config.norms == 1)
        return Block(attention=attention, mlp=mlp, norm=norm)

    def norm_over(self, config: ModelConfig, features: int) -> Norm:
        return LayerNorm(features, epsilon=config.norm_epsilon)

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        if fields.boolean("apply_residual_connection_post_layernorm", False):
            raise fields.refuse("apply_residual_connection_post_layernorm", "false")
        # The first releases call them n_head, n_layer and n_head_kv, and having the last makes the new architecture.
        named = fields.with_names({"num_attention_heads": "n_head", "num_hidden_layers": "n_layer"})
        new = named.boolean("new_decoder_architecture", named.has("n_head_kv"))
        parallel = named.boolean("parallel_attn", True)
        if new and not parallel:
            raise named.refuse("parallel_attn", "true with new_decoder_architecture")
        heads, hidden = named.integer("num_attention_heads"), named.integer("hidden_size")
        if hidden % heads:
            raise named.refuse("num_attention_heads", f"a divisor of hidden_size, {hidden}")
        kv_heads = heads
        if new:
            kv_heads = named.integer("n_head_kv") if named.has("n_head_kv") else named.integer("num_kv_heads", heads)
        elif named.boolean("multi_query", True):
            kv_heads = 1
        bias = named.boolean("bias", False)
        return decoder_from_hugging_face(
            named,
            FalconConfig,
            "FalconForCausalLM",
            intermediate=named.integer("ffn_hidden_size", 4 * hidden),
            kv_heads=kv_heads,
            head_dim=hidden // heads,
            context_length=named.integer("max_position_embeddings", 2048),
            norm_epsilon=named.number("layer_norm_epsilon", 1e-5),
            rope=None if named.boolean("alibi", False) else rope_from_hugging_face(named, hidden // heads),
            activation=named.choice("activation", ACTIVATIONS, "gelu"),
            tied_embeddings=named.boolean("tie_word_embeddings", True),
            qkv_bias=bias,
            output_bias=bias,
            mlp_bias=bias,
            parallel=parallel,
            norms=named.integer("num_ln_in_parallel_attn", 2 if new else 1, most=2),
            many_kv_heads=new,
        )

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, FalconConfig)
        return {
            "head_dim": None,
            "num_kv_heads": config.kv_heads,
            "multi_query": config.kv_heads == 1,
            "ffn_hidden_size": config.intermediate,
            "layer_norm_epsilon": config.norm_epsilon,
            "alibi": config.rope is None,
            "activation": next(theirs for theirs, ours in ACTIVATIONS.items() if ours == config.activation),
            "bias": config.qkv_bias,
            "parallel_attn": config.parallel,
            "num_ln_in_parallel_attn": config.norms,
            "new_decoder_architecture": config.many_kv_heads,
        }

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        norms = 2 if "blk.0.attn_norm_2.weight" in checkpoint.tensors else 1
        kv_heads = fields.integer("attention.head_count_kv", 1)
        return decoder_from_gguf(
            fields,
            checkpoint,
            FalconConfig,
            "FalconForCausalLM",
            kv_heads=kv_heads,
            norm_epsilon=fields.number("attention.layer_norm_epsilon"),
            activation="gelu",
            parallel=True,
            norms=norms,
            many_kv_heads=norms == 2 or kv_heads > 1,
        )

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, FalconConfig)
        if config.rope is None or not config.parallel or config.qkv_bias or config.activation != "gelu":
            raise ConfigError(
                "GGUF's `falcon` has no words for ALiBi, biases, layers in sequence, or other activations than gelu",
                hint="export to safetensors",
            )
        return {
            "attention.layer_norm_rms_epsilon": None,
            "attention.layer_norm_epsilon": config.norm_epsilon,
            "tensor_data_layout": "jploski",
        }
