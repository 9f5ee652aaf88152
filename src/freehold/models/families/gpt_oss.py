"""GPT-OSS 20B and 120B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from freehold.checkpoints.base import Checkpoint
from freehold.models.blocks import Attention, Block, Layer, MixtureOfExperts
from freehold.models.config import ExpertsConfig, ModelConfig
from freehold.models.decoder import Decoder
from freehold.models.describe import require_words
from freehold.models.fields import Fields
from freehold.models.translate import (
    decoder_from_gguf,
    decoder_from_hugging_face,
    experts_from_gguf,
    gguf_layer_count,
    layer_count,
    rope_from_gguf,
    rope_from_hugging_face,
    window_words,
    windows_by_type,
)
from freehold.models.weights import Stored, WeightMap, interleaved_parts, with_names
from freehold.ops.base import AttentionRules, Routing

RELEASED_LIMIT = 7.0
RELEASED_ALPHA = 1.702  # the slope of the gate's sigmoid, which `Ops.gated_mlp` has built in
GATE_UP = ("blocks.{i}.mlp.gate_up.gate.{e}", "blocks.{i}.mlp.gate_up.up.{e}")
DOWN = ("blocks.{i}.mlp.down.{e}",)
EXPERTS = "model.layers.{i}.mlp.experts"


@dataclass(frozen=True, kw_only=True)
class GptOssConfig(ModelConfig):
    """Numbers of GPT-OSS alone.

    Attributes:
        swiglu_limit: bounds what enters the experts' activation, see `Ops.gated_mlp`.
    """

    swiglu_limit: float


class GptOss(Decoder):
    """Attention with sinks, alternately windowed; experts with a clamped activation in every layer; biases."""

    model_type = "gpt_oss"
    gguf_architecture: ClassVar[str] = "gpt-oss"
    # The released models are trained with a ramp of any ends; the files leave it to the reader to know that.
    gguf_yarn_truncates = False
    weights = WeightMap(
        modules=with_names(
            ("blocks.{i}.attention.sinks", None, "blk.{i}.attn_sinks"),
            ("blocks.{i}.mlp_norm", "model.layers.{i}.post_attention_layernorm", "blk.{i}.post_attention_norm"),
            ("blocks.{i}.mlp.router", "model.layers.{i}.mlp.router", "blk.{i}.ffn_gate_inp"),
            (GATE_UP[0], None, "blk.{i}.ffn_gate_exps"),
            (GATE_UP[1], None, "blk.{i}.ffn_up_exps"),
            (DOWN[0], None, "blk.{i}.ffn_down_exps"),
        ),
        hugging_face=(
            Stored(("blocks.{i}.attention.sinks",), "model.layers.{i}.self_attn.sinks", kind="weight"),
            Stored(GATE_UP, f"{EXPERTS}.gate_up_proj", kind="weight", order=interleaved_parts, transposed=True),
            Stored(DOWN, f"{EXPERTS}.down_proj", kind="weight", transposed=True),
            # As released, in blocks of 4-bit floats; these run along the inputs, so nothing is transposed.
            Stored(GATE_UP, f"{EXPERTS}.gate_up_proj_blocks", kind="weight", order=interleaved_parts),
            Stored(DOWN, f"{EXPERTS}.down_proj_blocks", kind="weight"),
            Stored(GATE_UP, f"{EXPERTS}.gate_up_proj_bias", kind="bias", order=interleaved_parts),
            Stored(DOWN, f"{EXPERTS}.down_proj_bias", kind="bias"),
        ),
    )

    def block(self, config: ModelConfig, layer: int) -> Layer:
        assert isinstance(config, GptOssConfig)
        assert config.experts is not None
        rules = AttentionRules(config.attention_scale, window=config.windows[layer])
        return Block(
            attention=Attention(config, rules=rules, sinks=True),
            mlp=MixtureOfExperts(config, config.experts, router_bias=True, expert_bias=True, limit=config.swiglu_limit),
            norm=lambda: self.norm_over(config, config.hidden),
        )

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        if fields.number("swiglu_alpha", RELEASED_ALPHA) != RELEASED_ALPHA:
            raise fields.refuse("swiglu_alpha", f"{RELEASED_ALPHA}")
        if not fields.has("rope_scaling") and not fields.has("rope_parameters"):
            raise fields.refuse("rope_scaling", "an object, with `rope_type` default where nothing is scaled")
        layers, head_dim = layer_count(fields), fields.integer("head_dim", 64)
        bias = fields.boolean("attention_bias", True)
        return decoder_from_hugging_face(
            fields,
            GptOssConfig,
            "GptOssForCausalLM",
            head_dim=head_dim,
            norm_epsilon=fields.number("rms_norm_eps", 1e-5),
            rope=rope_from_hugging_face(fields, head_dim, theta=150000.0),
            activation=fields.choice("hidden_act", {"silu": "clamped_swiglu"}, "silu"),
            windows=windows_by_type(fields, layers, default=_alternating(layers)),
            qkv_bias=bias,
            output_bias=bias,
            experts=_experts_from_hugging_face(fields),
            swiglu_limit=fields.number("swiglu_limit", RELEASED_LIMIT),
        )

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, GptOssConfig)
        assert config.experts is not None
        assert config.rope is not None
        words: dict[str, Any] = {
            "hidden_act": "silu",
            "attention_bias": config.qkv_bias,
            "num_local_experts": config.experts.count,
            "num_experts_per_tok": config.experts.routing.top_k,
            "swiglu_limit": config.swiglu_limit,
        }
        return (
            words
            | window_words(config)
            | ({"rope_scaling": {"rope_type": "default"}} if config.rope.scaling is None else {})
        )

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        layers, window = gguf_layer_count(fields), fields.integer("attention.sliding_window")
        if fields.integer("attention.sliding_window_pattern", 2) != 2:
            raise fields.refuse("attention.sliding_window_pattern", "2")
        head_dim = fields.integer("attention.key_length")
        width = fields.integer("expert_feed_forward_length")
        return decoder_from_gguf(
            fields,
            checkpoint,
            GptOssConfig,
            "GptOssForCausalLM",
            intermediate=width,
            rope=rope_from_gguf(fields, checkpoint, head_dim, yarn_truncates=cls.gguf_yarn_truncates),
            activation="clamped_swiglu",
            windows=tuple(window if windowed else None for windowed in _alternating(layers)),
            qkv_bias=True,
            output_bias=True,
            experts=experts_from_gguf(fields, width),
            swiglu_limit=RELEASED_LIMIT,
        )

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, GptOssConfig)
        window = next((window for window in config.windows if window), None)
        alternating = tuple(window if windowed else None for windowed in _alternating(config.layers))
        require_words(
            cls.gguf_architecture,
            {
                "a window on every other layer, the first among them": window is not None
                and config.windows == alternating,
                f"`swiglu_limit` {RELEASED_LIMIT:g}": config.swiglu_limit == RELEASED_LIMIT,
                "biases in the attention": config.qkv_bias and config.output_bias,
                "an output head of its own": not config.tied_embeddings,
            },
        )
        return {"attention.sliding_window": window, "expert_feed_forward_length": config.intermediate}


def _experts_from_hugging_face(fields: Fields) -> ExpertsConfig:
    count = fields.integer("num_local_experts")
    top_k = fields.integer("num_experts_per_tok", 4, most=count)
    # A softmax over the chosen: over all, then divided by the sum of the chosen.
    return ExpertsConfig(count=count, intermediate=fields.integer("intermediate_size"), routing=Routing(top_k))


def _alternating(layers: int) -> tuple[bool, ...]:
    """Whether each layer has a window: every other one, the first among them."""
    return tuple(layer % 2 == 0 for layer in range(layers))
