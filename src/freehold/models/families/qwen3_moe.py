"""Qwen 3's mixtures of experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from freehold.checkpoints.base import Checkpoint
from freehold.errors import ConfigError
from freehold.models.blocks import FeedForward, GatedMLP, MixtureOfExperts
from freehold.models.config import ExpertsConfig, ModelConfig
from freehold.models.describe import require_words
from freehold.models.families.qwen3 import NORMS_OF_HEADS, Qwen3
from freehold.models.fields import Fields
from freehold.models.translate import decoder_from_gguf, decoder_from_hugging_face, experts_from_gguf, layer_count
from freehold.models.weights import WeightMap, with_names
from freehold.ops.base import Routing

HUGGING_FACE_EXPERTS = "model.layers.{i}.mlp.experts.{e}"


@dataclass(frozen=True, kw_only=True)
class Qwen3MoeConfig(ModelConfig):
    """Numbers of Qwen 3's mixtures alone.

    Attributes:
        dense_layers: those with a plain MLP, ascending.
    """

    dense_layers: tuple[int, ...] = ()


class Qwen3Moe(Qwen3):
    """Qwen 3 with a mixture of experts in most layers; by released configurations in all of them."""

    model_type = "qwen3_moe"
    gguf_architecture: ClassVar[str] = "qwen3moe"
    weights = WeightMap(
        modules=with_names(
            *NORMS_OF_HEADS,
            ("blocks.{i}.mlp.router", "model.layers.{i}.mlp.gate", "blk.{i}.ffn_gate_inp"),
            ("blocks.{i}.mlp.gate_up.gate.{e}", f"{HUGGING_FACE_EXPERTS}.gate_proj", "blk.{i}.ffn_gate_exps"),
            ("blocks.{i}.mlp.gate_up.up.{e}", f"{HUGGING_FACE_EXPERTS}.up_proj", "blk.{i}.ffn_up_exps"),
            ("blocks.{i}.mlp.down.{e}", f"{HUGGING_FACE_EXPERTS}.down_proj", "blk.{i}.ffn_down_exps"),
        )
    )

    def feed_forward(self, config: ModelConfig, layer: int) -> FeedForward:
        assert isinstance(config, Qwen3MoeConfig)
        assert config.experts is not None
        return GatedMLP(config) if layer in config.dense_layers else MixtureOfExperts(config, config.experts)

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        _refuse_what_others_ignore(fields)
        layers = layer_count(fields)
        bias = fields.boolean("attention_bias", False)
        windowed = fields.boolean("use_sliding_window", False) and fields.has("sliding_window")
        if windowed and fields.integer("max_window_layers", 0, least=0) != 0:
            raise fields.refuse("max_window_layers", "0, where there is a window: its meaning here has changed")
        return decoder_from_hugging_face(
            fields,
            Qwen3MoeConfig,
            "Qwen3MoeForCausalLM",
            qkv_bias=bias,
            output_bias=bias,
            windows=(fields.integer("sliding_window") if windowed else None,) * layers,
            experts=_experts_from_hugging_face(fields),
            dense_layers=_dense_layers(fields, layers),
        )

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, Qwen3MoeConfig)
        assert config.experts is not None
        if config.qkv_bias != config.output_bias:
            raise ConfigError("config.json cannot say that only some of Qwen 3's attention projections have biases")
        return {
            "attention_bias": config.qkv_bias,
            "use_sliding_window": config.windows[0] is not None,
            "sliding_window": config.windows[0],
            "max_window_layers": 0,
            "num_experts": config.experts.count,
            "num_experts_per_tok": config.experts.routing.top_k,
            "moe_intermediate_size": config.experts.intermediate,
            "norm_topk_prob": config.experts.routing.normalise,
            "decoder_sparse_step": 1,
            "mlp_only_layers": list(config.dense_layers),
        }

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        if fields.has("attention.sliding_window"):
            raise fields.refuse("attention.sliding_window", "none")
        used = fields.integer("expert_used_count")
        width = fields.integer("expert_feed_forward_length", fields.integer("feed_forward_length") // used)
        return decoder_from_gguf(
            fields,
            checkpoint,
            Qwen3MoeConfig,
            "Qwen3MoeForCausalLM",
            qkv_bias="blk.0.attn_q.bias" in checkpoint.tensors,
            output_bias="blk.0.attn_output.bias" in checkpoint.tensors,
            experts=experts_from_gguf(fields, width),
        )

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, Qwen3MoeConfig)
        assert config.experts is not None
        require_words(
            cls.gguf_architecture,
            {
                "experts in every layer": not config.dense_layers,
                "weights of the chosen experts that add up to 1": config.experts.routing.normalise,
            },
        )
        return {**super().to_gguf(config), "expert_feed_forward_length": config.experts.intermediate}


def _experts_from_hugging_face(fields: Fields) -> ExpertsConfig:
    # Released files say the former; newer versions of transformers write the latter.
    count = fields.integer("num_experts" if fields.has("num_experts") else "num_local_experts")
    top_k = fields.integer("num_experts_per_tok", 8, most=count)
    return ExpertsConfig(
        count=count,
        intermediate=fields.integer("moe_intermediate_size"),
        routing=Routing(top_k, normalise=fields.boolean("norm_topk_prob", False)),
    )


def _dense_layers(fields: Fields, layers: int) -> tuple[int, ...]:
    step = fields.integer("decoder_sparse_step", 1)
    dense = set(fields.integers("mlp_only_layers", most=layers - 1))
    return tuple(layer for layer in range(layers) if layer in dense or (layer + 1) % step)


def _refuse_what_others_ignore(fields: Fields) -> None:
    """Released files carry these keys, always with the one value for which it makes no difference to heed them."""
    if fields.boolean("qkv_bias", False):
        raise fields.refuse("qkv_bias", "false; `attention_bias` says whether there are biases")
    if not fields.boolean("use_qk_norm", True):
        raise fields.refuse("use_qk_norm", "true")
    if fields.integer("shared_expert_intermediate_size", 0, least=0) != 0:
        raise fields.refuse("shared_expert_intermediate_size", "0")
