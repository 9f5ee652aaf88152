"""Qwen 3.5, mixture of experts: the text part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from freehold.models.blocks import FeedForward, MixtureOfExperts
from freehold.models.config import ExpertsConfig, ModelConfig
from freehold.models.families.qwen3_5 import Qwen35, Qwen35Config
from freehold.models.fields import Fields
from freehold.models.weights import Stored, WeightMap
from freehold.ops.base import Routing

OURS, THEIRS, GGUF = "blocks.{i}.mlp", "model.layers.{i}.mlp", "blk.{i}"
GATES, UPS, DOWNS = f"{OURS}.gate_up.gate.{{e}}", f"{OURS}.gate_up.up.{{e}}", f"{OURS}.down.{{e}}"


class Qwen35Moe(Qwen35):
    """Qwen 3.5's layers with experts instead of an MLP, one of which every token passes through behind a gate."""

    model_type = "qwen3_5_moe_text"
    gguf_architecture = "qwen35moe"
    name = "Qwen3_5MoeForCausalLM"
    weights: ClassVar[WeightMap] = replace(
        Qwen35.weights,
        modules=(
            *Qwen35.weights.modules,
            (f"{OURS}.router", f"{THEIRS}.gate", f"{GGUF}.ffn_gate_inp"),
            (f"{OURS}.shared.gate_up.gate", f"{THEIRS}.shared_expert.gate_proj", f"{GGUF}.ffn_gate_shexp"),
            (f"{OURS}.shared.gate_up.up", f"{THEIRS}.shared_expert.up_proj", f"{GGUF}.ffn_up_shexp"),
            (f"{OURS}.shared.down", f"{THEIRS}.shared_expert.down_proj", f"{GGUF}.ffn_down_shexp"),
            (f"{OURS}.shared_gate", f"{THEIRS}.shared_expert_gate", None),
        ),
        hugging_face=(
            *Qwen35.weights.hugging_face,
            Stored((GATES,), f"{THEIRS}.experts.{{e}}.gate_proj"),
            Stored((UPS,), f"{THEIRS}.experts.{{e}}.up_proj"),
            Stored((DOWNS,), f"{THEIRS}.experts.{{e}}.down_proj"),
            # As released.
            Stored((GATES, UPS), f"{THEIRS}.experts.gate_up_proj", kind="weight"),
            Stored((DOWNS,), f"{THEIRS}.experts.down_proj", kind="weight"),
        ),
        gguf=(
            *Qwen35.weights.gguf,
            Stored((f"{OURS}.shared_gate",), f"{GGUF}.ffn_gate_inp_shexp", flat=True),
            Stored((GATES,), f"{GGUF}.ffn_gate_exps"),
            Stored((UPS,), f"{GGUF}.ffn_up_exps"),
            Stored((DOWNS,), f"{GGUF}.ffn_down_exps"),
            Stored((GATES, UPS), f"{GGUF}.ffn_gate_up_exps"),
        ),
    )

    def feed_forward(self, config: Qwen35Config) -> FeedForward:
        assert config.experts is not None
        return MixtureOfExperts(config, config.experts, shared_gate=True)

    @classmethod
    def more_from_hugging_face(cls, text: Fields) -> Mapping[str, Any]:
        if text.values.get("mlp_only_layers"):
            raise text.refuse("mlp_only_layers", "none")
        experts = _experts(
            text,
            count="num_experts",
            chosen="num_experts_per_tok",
            intermediate="moe_intermediate_size",
            shared="shared_expert_intermediate_size",
        )
        return {"experts": experts, "intermediate": experts.intermediate}

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> dict[str, Any]:
        assert config.experts is not None
        return super().to_hugging_face(config) | {
            "num_experts": config.experts.count,
            "num_experts_per_tok": config.experts.routing.top_k,
            "moe_intermediate_size": config.experts.intermediate,
            "shared_expert_intermediate_size": config.experts.shared,
        }

    @classmethod
    def more_from_gguf(cls, fields: Fields) -> Mapping[str, Any]:
        experts = _experts(
            fields,
            count="expert_count",
            chosen="expert_used_count",
            intermediate="expert_feed_forward_length",
            shared="expert_shared_feed_forward_length",
        )
        return {"experts": experts, "intermediate": experts.intermediate}

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> dict[str, Any]:
        assert config.experts is not None
        return super().to_gguf(config) | {
            "expert_count": config.experts.count,
            "expert_used_count": config.experts.routing.top_k,
            "expert_feed_forward_length": config.experts.intermediate,
            "expert_shared_feed_forward_length": config.experts.shared,
        }


def _experts(fields: Fields, *, count: str, chosen: str, intermediate: str, shared: str) -> ExpertsConfig:
    """The mixture, from the keys given."""
    experts = fields.integer(count)
    return ExpertsConfig(
        count=experts,
        intermediate=fields.integer(intermediate),
        routing=Routing(top_k=fields.integer(chosen, most=experts)),
        shared=fields.integer(shared),
    )
