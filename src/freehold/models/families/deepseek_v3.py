"""DeepSeek V3 and R1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from freehold.checkpoints.base import Checkpoint
from freehold.errors import ConfigError
from freehold.models.blocks import Block, GatedMLP, LatentAttention, Layer, MixtureOfExperts
from freehold.models.config import ExpertsConfig, ModelConfig, RopeConfig, YarnScaling
from freehold.models.decoder import Decoder
from freehold.models.describe import require_words, scaling_words
from freehold.models.fields import Fields
from freehold.models.translate import (
    decoder_from_gguf,
    decoder_from_hugging_face,
    rope_from_gguf,
    rope_from_hugging_face,
)
from freehold.models.weights import ROTARY_TABLES, Order, Stored, WeightMap, pairs_from_halves, with_names
from freehold.models.weights.orders import Int64Array
from freehold.ops.base import LatentCache, Routing

LATENT_EPSILON = 1e-6
GGUF_SIGMOID_GATING = 2
# What GGUF files multiply yarn_log_multiplier by in this family, and llama.cpp divides by.
GGUF_LOG_UNIT = 0.1


@dataclass(frozen=True, kw_only=True)
class DeepseekV3Config(ModelConfig):
    """What DeepSeek V3 needs besides; `head_dim` is that of queries and keys, unrotated and rotated features together.

    Attributes:
        query_rank: features of the latent that queries come from; None for queries straight from the input.
        latent: features of the latent that keys and values come from.
        rotated: features of a head that are rotated, its last ones; all heads share the keys'.
        value_dim: features of a head's value.
        latent_epsilon: added to the mean square of the latents.
        dense_layers: so many layers at the beginning have a plain MLP.
        sparse_step: of the others, those whose number is a multiple of this have experts.
        pairs: whether Hugging Face's tensors are for a rotation of neighbouring features.
        score_growth, rotation_growth: how fast YaRN lets scores, and cosines and sines, grow with the logarithm of its
            factor (`mscale_all_dim` and `mscale` of config.json); 0 for not said.
    """

    query_rank: int | None
    latent: int
    rotated: int
    value_dim: int
    latent_epsilon: float = LATENT_EPSILON
    dense_layers: int
    sparse_step: int = 1
    pairs: bool = True
    score_growth: float = 0.0
    rotation_growth: float = 0.0


def _order(*, shared: bool, pairs: bool | None = None) -> Order:
    """Stored head by head, rotated features last; ours are the unrotated features of all heads, then the rotated.

    Args:
        shared: whether there is one head for all, as of keys.
        pairs: whether the rotation is of neighbouring features; None for as the configuration says.
    """

    def order(config: ModelConfig, rows: int) -> Int64Array:
        assert isinstance(config, DeepseekV3Config)
        heads, rotated = 1 if shared else config.heads, config.rotated
        unrotated = np.arange(rows - heads * rotated).reshape(heads, -1)
        in_pairs = config.pairs if pairs is None else pairs
        turned = pairs_from_halves(heads * rotated, rotated) if in_pairs else np.arange(heads * rotated)
        return np.concatenate([unrotated, unrotated.size + turned.reshape(heads, rotated)], axis=1).reshape(-1)

    return order


OURS, THEIRS, GGUF = "blocks.{i}.attention.", "model.layers.{i}.self_attn.", "blk.{i}.attn_"
QUERY = (OURS + "query.unrotated", OURS + "query.rotated")
QUERY_UP = (OURS + "query_up.unrotated", OURS + "query_up.rotated")
KEPT = (OURS + "compress.latent", OURS + "compress.rotated")
KEY_UP, VALUE_UP = OURS + "key_up.{e}", OURS + "value_up.{e}"
MLP, THEIR_MLP = "blocks.{i}.mlp.", "model.layers.{i}.mlp."
EXPERT_GATE, EXPERT_UP = MLP + "gate_up.gate.{e}", MLP + "gate_up.up.{e}"

WEIGHTS = WeightMap(
    modules=with_names(
        (OURS + "compress.query", THEIRS + "q_a_proj", GGUF + "q_a"),
        (OURS + "query_norm", THEIRS + "q_a_layernorm", GGUF + "q_a_norm"),
        (OURS + "latent_norm", THEIRS + "kv_a_layernorm", GGUF + "kv_a_norm"),
        (MLP + "router", THEIR_MLP + "gate", "blk.{i}.ffn_gate_inp"),
        (MLP + "selection_bias", None, "blk.{i}.exp_probs_b"),
        (EXPERT_GATE, THEIR_MLP + "experts.{e}.gate_proj", None),
        (EXPERT_UP, THEIR_MLP + "experts.{e}.up_proj", None),
        (MLP + "down.{e}", THEIR_MLP + "experts.{e}.down_proj", "blk.{i}.ffn_down_exps"),
        (MLP + "shared.gate_up.gate", THEIR_MLP + "shared_experts.gate_proj", "blk.{i}.ffn_gate_shexp"),
        (MLP + "shared.gate_up.up", THEIR_MLP + "shared_experts.up_proj", "blk.{i}.ffn_up_shexp"),
        (MLP + "shared.down", THEIR_MLP + "shared_experts.down_proj", "blk.{i}.ffn_down_shexp"),
    ),
    hugging_face=(
        Stored(QUERY, THEIRS + "q_proj", order=_order(shared=False)),
        Stored(QUERY_UP, THEIRS + "q_b_proj", order=_order(shared=False)),
        Stored(KEPT, THEIRS + "kv_a_proj_with_mqa", order=_order(shared=True)),
        Stored((KEY_UP, VALUE_UP), THEIRS + "kv_b_proj", turned=(KEY_UP,), heads=True),
        Stored((MLP + "selection_bias",), THEIR_MLP + "gate.e_score_correction_bias", kind="bias"),
    ),
    gguf=(
        Stored(QUERY, GGUF + "q", order=_order(shared=False, pairs=True)),
        Stored(QUERY_UP, GGUF + "q_b", order=_order(shared=False, pairs=True)),
        Stored(KEPT, GGUF + "kv_a_mqa", order=_order(shared=True, pairs=True)),
        Stored((KEY_UP,), GGUF + "k_b"),
        Stored((VALUE_UP,), GGUF + "v_b"),
        Stored((EXPERT_GATE,), "blk.{i}.ffn_gate_exps"),
        Stored((EXPERT_UP,), "blk.{i}.ffn_up_exps"),
        # Files from before the up-projections were absorbed, and files whose gates and ups were merged.
        Stored((KEY_UP, VALUE_UP), GGUF + "kv_b", turned=(KEY_UP,), heads=True),
        Stored((EXPERT_GATE, EXPERT_UP), "blk.{i}.ffn_gate_up_exps"),
    ),
    # What lies beyond the last layer predicts further tokens in training.
    dropped=("model.layers.{beyond}.*", *ROTARY_TABLES),
)


class DeepseekV3(Decoder):
    """Latent attention; many small experts, chosen in groups by sigmoids and a bias, and a shared one."""

    model_type = "deepseek_v3"
    gguf_architecture = "deepseek2"
    weights = WEIGHTS
    released_code = frozenset(
        {
            "configuration_deepseek.DeepseekV3Config",
            "modeling_deepseek.DeepseekV3Model",
            "modeling_deepseek.DeepseekV3ForCausalLM",
        }
    )

    def block(self, config: ModelConfig, layer: int) -> Layer:
        assert isinstance(config, DeepseekV3Config)
        assert config.experts is not None
        attention = LatentAttention(
            config,
            kept=LatentCache(config.latent, config.rotated),
            unrotated=config.head_dim - config.rotated,
            values=config.value_dim,
            query_rank=config.query_rank,
            epsilon=config.latent_epsilon,
        )
        sparse = layer >= config.dense_layers and layer % config.sparse_step == 0
        mlp = MixtureOfExperts(config, config.experts, selection_bias=True) if sparse else GatedMLP(config)
        return Block(attention=attention, mlp=mlp, norm=lambda: self.norm_over(config, config.hidden))

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        fields.choice("scoring_func", {"sigmoid": "sigmoid"}, "sigmoid")
        fields.choice("topk_method", {"noaux_tc": "noaux_tc"}, "noaux_tc")
        heads = fields.integer("num_attention_heads")
        if fields.integer("num_key_value_heads", heads) != heads:
            raise fields.refuse("num_key_value_heads", f"the number of heads, {heads}")
        rotated = fields.integer("qk_rope_head_dim")
        head_dim = fields.integer("qk_nope_head_dim") + rotated
        bias = fields.boolean("attention_bias", False)
        return decoder_from_hugging_face(
            fields,
            DeepseekV3Config,
            "DeepseekV3ForCausalLM",
            head_dim=head_dim,
            kv_heads=heads,
            qkv_bias=bias,
            output_bias=bias,
            query_rank=fields.optional_integer("q_lora_rank"),
            latent=fields.integer("kv_lora_rank"),
            rotated=rotated,
            value_dim=fields.integer("v_head_dim"),
            dense_layers=fields.integer("first_k_dense_replace", least=0),
            sparse_step=fields.integer("moe_layer_freq", 1),
            pairs=fields.boolean("rope_interleave", True),
            experts=_experts(
                fields,
                HUGGING_FACE_EXPERTS,
                normalise=fields.boolean("norm_topk_prob", True),
                scale=fields.number("routed_scaling_factor"),
            ),
            **_grown(rope_from_hugging_face(fields, rotated), head_dim, *_growths(fields)),
        )

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, DeepseekV3Config)
        assert config.experts is not None
        if np.float32(config.latent_epsilon) != np.float32(LATENT_EPSILON):
            raise ConfigError(
                f"config.json cannot say that the latents' epsilon is {config.latent_epsilon}, not {LATENT_EPSILON}",
                hint="keep the model in GGUF",
            )
        routing = config.experts.routing
        return {
            "attention_bias": config.qkv_bias,
            "q_lora_rank": config.query_rank,
            "kv_lora_rank": config.latent,
            "qk_rope_head_dim": config.rotated,
            "qk_nope_head_dim": config.head_dim - config.rotated,
            "v_head_dim": config.value_dim,
            "head_dim": config.rotated,  # what transformers calls so in this family
            "partial_rotary_factor": 1.0,
            "rope_interleave": config.pairs,
            "first_k_dense_replace": config.dense_layers,
            "moe_layer_freq": config.sparse_step,
            "n_routed_experts": config.experts.count,
            "num_experts_per_tok": routing.top_k,
            "moe_intermediate_size": config.experts.intermediate,
            "n_shared_experts": config.experts.shared // config.experts.intermediate,
            "n_group": routing.groups,
            "topk_group": routing.groups_kept,
            "scoring_func": "sigmoid",
            "topk_method": "noaux_tc",
            "norm_topk_prob": routing.normalise,
            "routed_scaling_factor": routing.scale,
        } | _scaling_words(config)

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        if fields.integer("expert_gating_func", 1) != GGUF_SIGMOID_GATING:
            raise fields.refuse("expert_gating_func", f"{GGUF_SIGMOID_GATING}, sigmoids as in DeepSeek V3")
        if fields.integer("nextn_predict_layers", 0, least=0):
            raise fields.refuse("nextn_predict_layers", "0")
        rotated = fields.integer("rope.dimension_count")
        epsilon = fields.number("attention.layer_norm_rms_epsilon")
        # Files from before the up-projections were absorbed have the heads' own sizes under the usual keys.
        suffix = "_mla" if fields.has("attention.key_length_mla") else ""
        head_dim = fields.integer(f"attention.key_length{suffix}", least=rotated + 1)
        scale = fields.optional_number("expert_weights_scale")
        return decoder_from_gguf(
            fields,
            checkpoint,
            DeepseekV3Config,
            "DeepseekV3ForCausalLM",
            head_dim=head_dim,
            kv_heads=fields.integer("attention.head_count"),
            query_rank=fields.integer("attention.q_lora_rank", 0, least=0) or None,
            latent=fields.integer("attention.kv_lora_rank"),
            rotated=rotated,
            value_dim=fields.integer(f"attention.value_length{suffix}"),
            norm_epsilon=epsilon,
            latent_epsilon=epsilon,
            dense_layers=fields.integer("leading_dense_block_count", 0, least=0),
            experts=_experts(
                fields,
                GGUF_EXPERTS,
                normalise=fields.boolean("expert_weights_norm", False),
                scale=1.0 if scale is None else scale,
            ),
            **_grown(rope_from_gguf(fields, checkpoint, rotated), head_dim, *_growths_from_gguf(fields)),
        )

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, DeepseekV3Config)
        assert config.experts is not None
        assert config.rope is not None
        yarn = isinstance(config.rope.scaling, YarnScaling)
        require_words(
            "deepseek2",
            {
                "no biases in its attention": not config.qkv_bias,
                "experts in every layer after the dense ones": config.sparse_step == 1,
                "one epsilon for all norms": np.float32(config.latent_epsilon) == np.float32(config.norm_epsilon),
                "scores and rotations that grow alike": not yarn or config.score_growth == config.rotation_growth != 0,
            },
        )
        routing = config.experts.routing
        return {
            "attention.head_count_kv": 1,
            "attention.key_length": config.latent + config.rotated,
            "attention.value_length": config.latent,
            "attention.key_length_mla": config.head_dim,
            "attention.value_length_mla": config.value_dim,
            "attention.q_lora_rank": config.query_rank or 0,
            "attention.kv_lora_rank": config.latent,
            "leading_dense_block_count": config.dense_layers,
            "expert_shared_count": config.experts.shared // config.experts.intermediate,
            "expert_feed_forward_length": config.experts.intermediate,
            "expert_gating_func": GGUF_SIGMOID_GATING,
            "expert_weights_norm": routing.normalise,
            "expert_weights_scale": routing.scale,
            "expert_group_count": routing.groups,
            "expert_group_used_count": routing.groups_kept,
            "rope.scaling.yarn_log_multiplier": config.score_growth * GGUF_LOG_UNIT if yarn else None,
            # llama.cpp multiplies the rotation by 1 where the growths are alike, and by this besides.
            "rope.scaling.attn_factor": None,
        }


HUGGING_FACE_EXPERTS = {
    "count": "n_routed_experts",
    "top_k": "num_experts_per_tok",
    "intermediate": "moe_intermediate_size",
    "shared": "n_shared_experts",
    "groups": "n_group",
    "groups_kept": "topk_group",
}
GGUF_EXPERTS = {
    "count": "expert_count",
    "top_k": "expert_used_count",
    "intermediate": "expert_feed_forward_length",
    "shared": "expert_shared_count",
    "groups": "expert_group_count",
    "groups_kept": "expert_group_used_count",
}


def _experts(fields: Fields, names: Mapping[str, str], *, normalise: bool, scale: float) -> ExpertsConfig:
    """The mixture, by the names that a format has for its numbers."""
    count = fields.integer(names["count"])
    groups = fields.integer(names["groups"], 1, most=count)
    # A group counts as much as its two best experts.
    if count % groups or (groups > 1 and count < 2 * groups):
        raise fields.refuse(names["groups"], f"1, or groups of equal size, two or more, of the {count} experts")
    kept = fields.integer(names["groups_kept"], groups, most=groups)
    top_k = fields.integer(names["top_k"], most=count // groups * kept)
    if kept == groups:  # which is the same as no groups, and what other programs call so
        groups = kept = 1
    intermediate = fields.integer(names["intermediate"])
    return ExpertsConfig(
        count=count,
        intermediate=intermediate,
        routing=Routing(top_k, "sigmoid", normalise, scale, groups, kept),
        shared=intermediate * fields.integer(names["shared"]),
    )


def _grown(rope: RopeConfig, head_dim: int, score_growth: float, rotation_growth: float) -> dict[str, Any]:
    """RoPE and the scale of the scores, once YaRN has let them grow, as in the code released with the model.

    Scores are multiplied by the square of 1 + score_growth * 0.1 ln(factor); cosines and sines by the same with the
    rotation's growth, divided by that of the scores, where both are said.
    """
    scale, scaling = head_dim**-0.5, rope.scaling
    if isinstance(scaling, YarnScaling):
        logarithm = 0.1 * math.log(max(scaling.factor, 1.0))
        scale *= (1.0 + score_growth * logarithm) ** 2
        if scaling.attention_factor is None and score_growth and rotation_growth:
            factor = (1.0 + rotation_growth * logarithm) / (1.0 + score_growth * logarithm)
            rope = replace(rope, scaling=replace(scaling, attention_factor=factor))
    return {"rope": rope, "query_scale": scale, "score_growth": score_growth, "rotation_growth": rotation_growth}


def _growths(fields: Fields) -> tuple[float, float]:
    scaling = fields.mapping("rope_parameters") or fields.mapping("rope_scaling")
    if scaling is None:
        return 0.0, 0.0
    return scaling.number("mscale_all_dim", 0.0, above=-1.0), scaling.number("mscale", 0.0, above=-1.0)


def _growths_from_gguf(fields: Fields) -> tuple[float, float]:
    if fields.values.get(fields.prefix + "rope.scaling.type") != "yarn":
        return 0.0, 0.0
    if fields.has("rope.scaling.attn_factor"):
        raise fields.refuse("rope.scaling.attn_factor", "none")
    growth = float(np.float32(fields.number("rope.scaling.yarn_log_multiplier")) / np.float32(GGUF_LOG_UNIT))
    return growth, growth


def _scaling_words(config: DeepseekV3Config) -> dict[str, Any]:
    if config.rope is None or not isinstance(config.rope.scaling, YarnScaling):
        return {}
    growths = {"mscale": config.rotation_growth, "mscale_all_dim": config.score_growth}
    return {"rope_scaling": {**(scaling_words(config.rope) or {}), **growths}}
