"""Qwen 3.5, dense: the text part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from freehold.checkpoints.base import Checkpoint
from freehold.errors import ConfigError
from freehold.models.blocks import Attention, Block, FeedForward, GatedMLP, Layer, RMSNorm
from freehold.models.blocks.delta import DeltaNet
from freehold.models.config import ModelConfig
from freehold.models.decoder import Decoder
from freehold.models.fields import Fields
from freehold.models.translate import (
    decoder_from_gguf,
    decoder_from_hugging_face,
    gguf_layer_count,
    layer_count,
    rope_from_hugging_face,
)
from freehold.models.weights import LESS_ONE, LLAMA_SHAPED, Order, Stored, Values, WeightMap
from freehold.models.weights.orders import Int64Array
from freehold.ops.base import DeltaCache

LINEAR, FULL = "linear_attention", "full_attention"
HEAD_DIM, ROTATED_SHARE, FULL_EVERY = 256, 0.25, 4  # where a file says nothing


@dataclass(frozen=True, kw_only=True)
class Qwen35Config(ModelConfig):
    """Qwen 3.5's numbers.

    Attributes:
        linear: per layer whether it has linear attention; the others have full attention.
        delta: shape of the layers with linear attention.
    """

    linear: tuple[bool, ...]
    delta: DeltaCache


def value_heads_as(*, tiled: bool) -> Order:
    """Rows of all value heads as a naming keeps them, behind the queries and keys where the tensor has those too.

    A key head's value heads follow each other in Hugging Face's files. In GGUF's they are tiled: the first of every
    key head, then the second of every one.
    """

    def order(config: ModelConfig, rows: int) -> Int64Array:
        assert isinstance(config, Qwen35Config)
        delta = config.delta
        before = delta.channels - delta.value_heads * delta.value_dim if rows == delta.channels else 0
        heads = np.arange(delta.value_heads)
        if tiled != delta.tiled:
            shared = delta.value_heads // delta.key_heads
            heads = heads.reshape((delta.key_heads, shared) if tiled else (shared, delta.key_heads)).T.reshape(-1)
        rows_of_heads = np.arange(before, rows).reshape(delta.value_heads, -1)
        return np.concatenate([np.arange(before), rows_of_heads[heads].reshape(-1)])

    return order


def gates_beside_queries(config: ModelConfig, rows: int) -> Int64Array:
    """Queries of a head, then its gates, then the next head's; ours has all queries first."""
    result: Int64Array = np.arange(rows).reshape(2, config.heads, -1).transpose(1, 0, 2).reshape(rows)
    return result


# Our names for the shape of linear attention, and config.json's.
DELTA = {
    "key_heads": "linear_num_key_heads",
    "value_heads": "linear_num_value_heads",
    "key_dim": "linear_key_head_dim",
    "value_dim": "linear_value_head_dim",
    "width": "linear_conv_kernel_dim",
}
GROUPED, TILED = value_heads_as(tiled=False), value_heads_as(tiled=True)
HINT = "export to safetensors"
LOGARITHM = Values(lambda stored: -np.exp(stored), lambda ours: np.log(-ours))
OURS, THEIRS, GGUF = "blocks.{i}.attention", "model.layers.{i}.linear_attn", "blk.{i}"
QUERIES = (f"{OURS}.qkv.q", f"{OURS}.qkv.gate")


class Qwen35(Decoder):
    """Gated delta rule in most layers, gated full attention with normalised heads and partial RoPE in every fourth."""

    model_type = "qwen3_5_text"
    gguf_architecture = "qwen35"
    name = "Qwen3_5ForCausalLM"
    weights = WeightMap(
        hugging_face=(
            Stored(("blocks.{i}.attention_norm",), "model.layers.{i}.input_layernorm", values=LESS_ONE),
            Stored(("blocks.{i}.mlp_norm",), "model.layers.{i}.post_attention_layernorm", values=LESS_ONE),
            Stored(("norm",), "model.norm", values=LESS_ONE),
            Stored((f"{OURS}.q_norm",), "model.layers.{i}.self_attn.q_norm", values=LESS_ONE),
            Stored((f"{OURS}.k_norm",), "model.layers.{i}.self_attn.k_norm", values=LESS_ONE),
            Stored(QUERIES, "model.layers.{i}.self_attn.q_proj", order=gates_beside_queries),
            Stored((f"{OURS}.input.qkv",), f"{THEIRS}.in_proj_qkv", order=GROUPED),
            Stored((f"{OURS}.input.gate",), f"{THEIRS}.in_proj_z", order=GROUPED),
            Stored((f"{OURS}.controls.decay",), f"{THEIRS}.in_proj_a", order=GROUPED),
            Stored((f"{OURS}.controls.beta",), f"{THEIRS}.in_proj_b", order=GROUPED),
            Stored((f"{OURS}.convolution",), f"{THEIRS}.conv1d", order=GROUPED, unit_axis=1),
            Stored((f"{OURS}.rates",), f"{THEIRS}.A_log", kind="weight", order=GROUPED, values=LOGARITHM),
            Stored((f"{OURS}.offsets",), f"{THEIRS}.dt_bias", kind="bias", order=GROUPED),
            Stored((f"{OURS}.norm",), f"{THEIRS}.norm"),
            Stored((f"{OURS}.result",), f"{THEIRS}.out_proj", columns=GROUPED),
        ),
        gguf=(
            Stored(("blocks.{i}.mlp_norm",), f"{GGUF}.post_attention_norm"),
            Stored((f"{OURS}.q_norm",), f"{GGUF}.attn_q_norm"),
            Stored((f"{OURS}.k_norm",), f"{GGUF}.attn_k_norm"),
            Stored(QUERIES, f"{GGUF}.attn_q", order=gates_beside_queries),
            Stored((f"{OURS}.input.qkv",), f"{GGUF}.attn_qkv", order=TILED),
            Stored((f"{OURS}.input.gate",), f"{GGUF}.attn_gate", order=TILED),
            Stored((f"{OURS}.controls.decay",), f"{GGUF}.ssm_alpha", order=TILED),
            Stored((f"{OURS}.controls.beta",), f"{GGUF}.ssm_beta", order=TILED),
            Stored((f"{OURS}.convolution",), f"{GGUF}.ssm_conv1d", order=TILED),
            Stored((f"{OURS}.rates",), f"{GGUF}.ssm_a", kind="weight", order=TILED),
            Stored((f"{OURS}.offsets",), f"{GGUF}.ssm_dt", order=TILED),
            Stored((f"{OURS}.norm",), f"{GGUF}.ssm_norm"),
            Stored((f"{OURS}.result",), f"{GGUF}.ssm_out", columns=TILED),
        ),
        modules=LLAMA_SHAPED,
        # What sees, and what drafts several tokens at once.
        dropped=("model.visual.*", "mtp.*", "blk.{beyond}.*"),
        prefixes=(("model.language_model.", "model."),),
    )

    def block(self, config: ModelConfig, layer: int) -> Layer:
        assert isinstance(config, Qwen35Config)
        attention = DeltaNet(config, config.delta) if config.linear[layer] else self._full_attention(config)
        return Block(
            attention=attention, mlp=self.feed_forward(config), norm=lambda: self.norm_over(config, config.hidden)
        )

    def feed_forward(self, config: Qwen35Config) -> FeedForward:
        """What each layer does after its attention."""
        return GatedMLP(config)

    def _full_attention(self, config: Qwen35Config) -> Attention:
        def head_norm() -> RMSNorm:
            return RMSNorm(config.head_dim, epsilon=config.norm_epsilon)

        return Attention(config, q_norm=head_norm(), k_norm=head_norm(), gated=True)

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> Qwen35Config:
        text = fields.mapping("text_config") or fields
        head_dim, bias = text.integer("head_dim", HEAD_DIM), text.boolean("attention_bias", False)
        if not text.boolean("attn_output_gate", True):
            raise text.refuse("attn_output_gate", "true")
        text.choice("mamba_ssm_dtype", {"float32": None}, "float32")
        return decoder_from_hugging_face(
            text,
            Qwen35Config,
            cls.name,
            head_dim=head_dim,
            activation=text.choice("hidden_act", {"silu": "silu"}, "silu"),  # the convolution's, too
            # The three sections of multimodal RoPE turn by the same position where there is only text.
            rope=rope_from_hugging_face(text, head_dim, share=ROTATED_SHARE),
            qkv_bias=bias,
            output_bias=bias,
            tied_embeddings=fields.boolean("tie_word_embeddings", text.boolean("tie_word_embeddings", False)),
            linear=_linear_layers(text),
            delta=_delta_from_hugging_face(text),
            **cls.more_from_hugging_face(text),
        )

    @classmethod
    def more_from_hugging_face(cls, text: Fields) -> Mapping[str, Any]:
        """What only a variant of the family reads."""
        return {}

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> dict[str, Any]:
        assert isinstance(config, Qwen35Config)
        assert config.rope is not None
        if config.qkv_bias != config.output_bias:
            raise ConfigError("config.json cannot say that only some of the attention projections have biases")
        sizes = {theirs: getattr(config.delta, ours) for ours, theirs in DELTA.items()}
        return sizes | {
            "attention_bias": config.qkv_bias,
            "layer_types": [LINEAR if linear else FULL for linear in config.linear],
            "partial_rotary_factor": config.rope.dimensions / config.head_dim,
        }

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> Qwen35Config:
        if fields.has("attention.recurrent_layers"):
            raise fields.refuse("attention.recurrent_layers", "full_attention_interval")
        layers = gguf_layer_count(fields) - fields.integer("nextn_predict_layers", 0, least=0)
        every = fields.integer("full_attention_interval", FULL_EVERY)
        key_heads, value_heads = fields.integer("ssm.group_count"), fields.integer("ssm.time_step_rank")
        features = fields.integer("ssm.state_size")
        if fields.integer("ssm.inner_size") != value_heads * features:
            raise fields.refuse("ssm.inner_size", f"ssm.time_step_rank x ssm.state_size, {value_heads * features}")
        delta = DeltaCache(
            key_heads=key_heads,
            value_heads=value_heads,
            key_dim=features,
            value_dim=features,
            width=fields.integer("ssm.conv_kernel"),
            tiled=True,
        )
        return decoder_from_gguf(
            fields,
            checkpoint,
            Qwen35Config,
            cls.name,
            layers=layers,
            windows=(None,) * layers,
            linear=tuple((layer + 1) % every != 0 for layer in range(layers)),
            delta=_checked_delta(delta, fields),
            **cls.more_from_gguf(fields),
        )

    @classmethod
    def more_from_gguf(cls, fields: Fields) -> Mapping[str, Any]:
        """What only a variant of the family reads."""
        return {}

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> dict[str, Any]:
        assert isinstance(config, Qwen35Config)
        assert config.rope is not None
        every = config.linear.index(False) + 1 if False in config.linear else config.layers + 1
        delta, pairs = config.delta, config.rope.dimensions // 2
        if config.linear != tuple((layer + 1) % every != 0 for layer in range(config.layers)):
            raise ConfigError("GGUF can only say that every so many layers have full attention", hint=HINT)
        if delta.key_dim != delta.value_dim:
            raise ConfigError(
                f"GGUF has one size for keys and values, not {delta.key_dim} and {delta.value_dim}", hint=HINT
            )
        if config.qkv_bias or config.output_bias:
            raise ConfigError(f"GGUF's `{cls.gguf_architecture}` has no biases in its attention", hint=HINT)
        return {
            "full_attention_interval": every,
            "rope.dimension_sections": [(pairs + 2) // 3, (pairs + 1) // 3, pairs // 3, 0],
            "ssm.conv_kernel": delta.width,
            "ssm.group_count": delta.key_heads,
            "ssm.inner_size": delta.value_heads * delta.value_dim,
            "ssm.state_size": delta.key_dim,
            "ssm.time_step_rank": delta.value_heads,
        }


def _linear_layers(text: Fields) -> tuple[bool, ...]:
    """Per layer whether it has linear attention, from the list of kinds or from how often the other kind comes."""
    layers = layer_count(text)
    if not text.has("layer_types"):
        every = text.integer("full_attention_interval", FULL_EVERY)
        return tuple((layer + 1) % every != 0 for layer in range(layers))
    kinds = text.values["layer_types"]
    if not isinstance(kinds, list) or len(kinds) != layers or not all(kind in (LINEAR, FULL) for kind in kinds):
        raise text.refuse("layer_types", f"{layers} of {LINEAR}, {FULL}")
    return tuple(kind == LINEAR for kind in kinds)


def _delta_from_hugging_face(text: Fields) -> DeltaCache:
    sizes: dict[str, Any] = {ours: text.integer(theirs) for ours, theirs in DELTA.items()}
    return _checked_delta(DeltaCache(**sizes), text)


def _checked_delta(delta: DeltaCache, fields: Fields) -> DeltaCache:
    if delta.value_heads % delta.key_heads:
        raise ConfigError(
            f"{fields.source}: value heads ({delta.value_heads}) must be a multiple of key heads ({delta.key_heads}) "
            "in linear attention",
            hint="the configuration is damaged or not of this family",
        )
    return delta
