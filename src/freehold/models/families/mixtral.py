"""Mixtral 8x7B and 8x22B."""

from __future__ import annotations

from typing import Any

from freehold.errors import ConfigError
from freehold.models.blocks import Attention, Block, Layer, MixtureOfExperts
from freehold.models.config import ExpertsConfig, ModelConfig
from freehold.models.families.llama import Llama
from freehold.models.fields import Fields
from freehold.models.translate import decoder_from_hugging_face, layer_count, rope_from_hugging_face
from freehold.models.weights import Stored, WeightMap, with_names
from freehold.ops.base import AttentionRules, Routing

EXPERTS = "model.layers.{i}.block_sparse_moe.experts.{e}"


class Mixtral(Llama):
    """Llama's shape with a mixture of experts in every layer, and optionally a window. GGUF calls it `llama`."""

    model_type = "mixtral"
    weights = WeightMap(
        modules=with_names(
            ("blocks.{i}.mlp.router", "model.layers.{i}.block_sparse_moe.gate", "blk.{i}.ffn_gate_inp"),
            ("blocks.{i}.mlp.gate_up.gate.{e}", f"{EXPERTS}.w1", None),
            ("blocks.{i}.mlp.gate_up.up.{e}", f"{EXPERTS}.w3", None),
            ("blocks.{i}.mlp.down.{e}", f"{EXPERTS}.w2", None),
        ),
        gguf=(
            *Llama.weights.gguf,
            Stored(("blocks.{i}.mlp.gate_up.gate.{e}",), "blk.{i}.ffn_gate_exps"),
            Stored(("blocks.{i}.mlp.gate_up.up.{e}",), "blk.{i}.ffn_up_exps"),
            Stored(("blocks.{i}.mlp.down.{e}",), "blk.{i}.ffn_down_exps"),
            # The first files had a tensor for each expert.
            Stored(("blocks.{i}.mlp.gate_up.gate.{e}",), "blk.{i}.ffn_gate.{e}"),
            Stored(("blocks.{i}.mlp.gate_up.up.{e}",), "blk.{i}.ffn_up.{e}"),
            Stored(("blocks.{i}.mlp.down.{e}",), "blk.{i}.ffn_down.{e}"),
        ),
    )

    def block(self, config: ModelConfig, layer: int) -> Layer:
        assert config.experts is not None
        rules = AttentionRules(config.attention_scale, window=config.windows[layer])
        return Block(
            attention=Attention(config, rules=rules),
            mlp=MixtureOfExperts(config, config.experts),
            norm=lambda: self.norm_over(config, config.hidden),
        )

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        head_dim = fields.integer("head_dim", fields.integer("hidden_size") // fields.integer("num_attention_heads"))
        intermediate, count = fields.integer("intermediate_size"), fields.integer("num_local_experts", 8)
        routing = Routing(fields.integer("num_experts_per_tok", 2, most=count))
        return decoder_from_hugging_face(
            fields,
            ModelConfig,
            "MixtralForCausalLM",
            head_dim=head_dim,
            norm_epsilon=fields.number("rms_norm_eps", 1e-5),
            rope=rope_from_hugging_face(fields, head_dim, theta=1e6),
            windows=(fields.optional_integer("sliding_window"),) * layer_count(fields),
            experts=ExpertsConfig(count=count, intermediate=intermediate, routing=routing),
        )

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> dict[str, Any]:
        assert config.experts is not None
        if config.qkv_bias or config.output_bias:
            raise ConfigError("config.json cannot say that Mixtral's attention projections have biases")
        return {
            "sliding_window": config.windows[0],
            "num_local_experts": config.experts.count,
            "num_experts_per_tok": config.experts.routing.top_k,
        }
