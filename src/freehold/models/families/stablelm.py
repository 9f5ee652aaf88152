"""StableLM 3B and StableLM 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from freehold.checkpoints.base import Checkpoint
from freehold.errors import ConfigError
from freehold.models.blocks import Attention, Block, GatedMLP, Layer, LayerNorm, Norm, ParallelBlock, Source
from freehold.models.config import ModelConfig
from freehold.models.decoder import Decoder
from freehold.models.fields import Fields
from freehold.models.translate import decoder_from_gguf, decoder_from_hugging_face, rope_from_hugging_face
from freehold.models.weights import LLAMA_SHAPED, WeightMap, with_names
from freehold.ops.base import Array, Ops
from freehold.tensors import Tensor, WeightType


class HeadLayerNorm(Norm):
    """A LayerNorm without bias for each head, each a parameter of its own."""

    weight: Array

    def __init__(self, heads: int, features: int, epsilon: float):
        self.heads, self.features, self.epsilon = heads, features, epsilon

    def __call__(self, ops: Ops, x: Array) -> Array:
        return ops.layer_norm(x, self.weight, None, self.epsilon)

    def parameters(self) -> Mapping[str, tuple[int, ...]]:
        return {f"{head}.weight": (self.features,) for head in range(self.heads)}

    def load(self, ops: Ops, source: Source, dtype: WeightType | None) -> None:
        stacked = Tensor.stack([source(f"{head}.weight") for head in range(self.heads)])
        self.weight = ops.vector(stacked.reshape((self.heads, self.features)))


@dataclass(frozen=True, kw_only=True)
class StableLmConfig(ModelConfig):
    """Numbers of StableLM alone.

    Attributes:
        parallel: whether attention and MLP read the same normalised residual stream.
        head_norms: whether queries and keys are normalised, each head with a norm of its own.
    """

    parallel: bool
    head_norms: bool


class StableLm(Decoder):
    """Llama with LayerNorm and a rotation of the first features only; the 12B has norms of heads, in parallel."""

    config: StableLmConfig
    model_type = "stablelm"
    gguf_architecture = "stablelm"
    weights = WeightMap(
        modules=(
            *with_names(
                ("blocks.{i}.norm", "model.layers.{i}.input_layernorm", "blk.{i}.attn_norm"), base=LLAMA_SHAPED
            ),
            (
                "blocks.{i}.attention.q_norm.{e}",
                "model.layers.{i}.self_attn.q_layernorm.norms.{e}",
                "blk.{i}.attn_q_norm",
            ),
            (
                "blocks.{i}.attention.k_norm.{e}",
                "model.layers.{i}.self_attn.k_layernorm.norms.{e}",
                "blk.{i}.attn_k_norm",
            ),
        )
    )

    def block(self, config: ModelConfig, layer: int) -> Layer:
        assert isinstance(config, StableLmConfig)

        def head_norm(heads: int) -> Norm | None:
            return HeadLayerNorm(heads, config.head_dim, config.norm_epsilon) if config.head_norms else None

        def norm() -> Norm:
            return self.norm_over(config, config.hidden)

        attention = Attention(config, q_norm=head_norm(config.heads), k_norm=head_norm(config.kv_heads))
        if config.parallel:
            return ParallelBlock(attention=attention, mlp=GatedMLP(config), norm=norm, shared_norm=True)
        return Block(attention=attention, mlp=GatedMLP(config), norm=norm)

    def norm_over(self, config: ModelConfig, features: int) -> Norm:
        return LayerNorm(features, epsilon=config.norm_epsilon)

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        head_dim = fields.integer("hidden_size") // fields.integer("num_attention_heads")
        return decoder_from_hugging_face(
            fields,
            StableLmConfig,
            "StableLmForCausalLM",
            head_dim=head_dim,
            norm_epsilon=fields.number("layer_norm_eps", 1e-5),
            rope=rope_from_hugging_face(fields, head_dim, share=0.25),
            qkv_bias=fields.boolean("use_qkv_bias", False),
            parallel=fields.boolean("use_parallel_residual", False),
            head_norms=fields.boolean("qk_layernorm", False),
        )

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, StableLmConfig)
        rotated = config.head_dim if config.rope is None else config.rope.dimensions
        return {
            "layer_norm_eps": config.norm_epsilon,
            "partial_rotary_factor": rotated / config.head_dim,
            "use_qkv_bias": config.qkv_bias,
            "use_parallel_residual": config.parallel,
            "qk_layernorm": config.head_norms,
        }

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        return decoder_from_gguf(
            fields,
            checkpoint,
            StableLmConfig,
            "StableLmForCausalLM",
            norm_epsilon=fields.number("attention.layer_norm_epsilon"),
            qkv_bias="blk.0.attn_q.bias" in checkpoint.tensors,
            parallel="blk.0.ffn_norm.weight" not in checkpoint.tensors,
            head_norms="blk.0.attn_q_norm.weight" in checkpoint.tensors,
        )

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, StableLmConfig)
        if config.tied_embeddings:
            raise ConfigError("GGUF's `stablelm` has a head of its own always", hint="export to safetensors")
        return {
            "attention.layer_norm_rms_epsilon": None,
            "attention.layer_norm_epsilon": config.norm_epsilon,
            "use_parallel_residual": config.parallel,
        }
