"""Llama 4 Scout and Maverick, the part that reads and writes text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from freehold.checkpoints.base import Checkpoint
from freehold.models.blocks import Attention, Block, GatedMLP, Layer, MixtureOfExperts, Step
from freehold.models.config import ExpertsConfig, ModelConfig
from freehold.models.decoder import Decoder
from freehold.models.describe import require_words
from freehold.models.fields import Fields
from freehold.models.translate import (
    decoder_from_gguf,
    decoder_from_hugging_face,
    gguf_layer_count,
    layer_count,
    rope_from_hugging_face,
)
from freehold.models.weights import ROTARY_TABLES, Stored, WeightMap, heads_in_pairs, with_names
from freehold.ops.base import Array, AttentionRules, Ops, Routing

# What GGUF takes for granted.
GGUF_CHUNK = 8192
GGUF_UNROTATED_STEP = 4
GGUF_EXPERTS_WITHOUT_NORM = 128


@dataclass(frozen=True, slots=True)
class Temperature:
    """Lets scores grow with the position: queries times 1 + growth * ln(1 + floor((position + 1) / floor)).

    Llama 4's variant of scalable softmax (Nakanishi 2025).

    Attributes:
        floor: positions over which nothing changes.
        growth: how much the logarithm counts.
    """

    floor: int = 8192
    growth: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Llama4Config(ModelConfig):
    """What Llama 4 needs besides; `intermediate` is that of the plain MLPs.

    Attributes:
        rotated: per layer whether queries and keys are rotated.
        chunks: per layer the chunk of positions that attention stays within; None for all.
        sparse: per layer whether it has experts.
        normalised: whether rotated queries and keys are divided by their root mean square.
        temperature: of the layers that are not rotated.
    """

    rotated: tuple[bool, ...]
    chunks: tuple[int | None, ...]
    sparse: tuple[bool, ...]
    normalised: bool
    temperature: Temperature | None


class Llama4Attention(Attention):
    """Attention that tells positions by rotating, or by nothing but a temperature."""

    def __init__(self, config: Llama4Config, layer: int):
        rules = AttentionRules(config.attention_scale, chunk=config.chunks[layer])
        super().__init__(config, rules=rules, rotated=config.rotated[layer])
        self.normalised, self.epsilon = config.normalised, config.norm_epsilon
        self.temperature = config.temperature

    def place(self, ops: Ops, heads: Array, step: Step) -> tuple[Array, Array]:
        if self.rotated:
            heads = ops.rope(heads, step.rotation)
            heads = ops.rms_norm(heads, None, self.epsilon) if self.normalised else heads
        q, k = heads[:, : self.heads], heads[:, self.heads :]
        return (q if self.rotated else self._tempered(ops, q, step)), k

    def _tempered(self, ops: Ops, q: Array, step: Step) -> Array:
        if self.temperature is None:
            return q
        spans = (step.batch.positions + 1) // self.temperature.floor
        if not spans.any():
            return q
        # A logarithm per span and not over the array, so that no result depends on where in the batch its row is.
        distinct, which = np.unique(spans, return_inverse=True)
        factors = [1.0 + self.temperature.growth * math.log1p(span) for span in distinct.tolist()]
        return ops.scale(q, np.array(factors, np.float32)[which])


OURS, THEIRS = "blocks.{i}.mlp.", "model.layers.{i}.feed_forward."
ATTENTION, THEIR_ATTENTION = "blocks.{i}.attention.qkv.", "model.layers.{i}.self_attn."
EXPERT_GATE, EXPERT_UP, EXPERT_DOWN = OURS + "gate_up.gate.{e}", OURS + "gate_up.up.{e}", OURS + "down.{e}"

WEIGHTS = WeightMap(
    modules=with_names(
        (OURS + "gate_up.gate", THEIRS + "gate_proj", "blk.{i}.ffn_gate"),
        (OURS + "gate_up.up", THEIRS + "up_proj", "blk.{i}.ffn_up"),
        (OURS + "down", THEIRS + "down_proj", "blk.{i}.ffn_down"),
        (OURS + "router", THEIRS + "router", "blk.{i}.ffn_gate_inp"),
        (EXPERT_GATE, None, "blk.{i}.ffn_gate_exps"),
        (EXPERT_UP, None, "blk.{i}.ffn_up_exps"),
        (EXPERT_DOWN, None, "blk.{i}.ffn_down_exps"),
        (OURS + "shared.gate_up.gate", THEIRS + "shared_expert.gate_proj", "blk.{i}.ffn_gate_shexp"),
        (OURS + "shared.gate_up.up", THEIRS + "shared_expert.up_proj", "blk.{i}.ffn_up_shexp"),
        (OURS + "shared.down", THEIRS + "shared_expert.down_proj", "blk.{i}.ffn_down_shexp"),
    ),
    # Both namings store queries and keys for a rotation of neighbouring features.
    hugging_face=(
        Stored((ATTENTION + "q",), THEIR_ATTENTION + "q_proj", order=heads_in_pairs),
        Stored((ATTENTION + "k",), THEIR_ATTENTION + "k_proj", order=heads_in_pairs),
        Stored((EXPERT_GATE, EXPERT_UP), THEIRS + "experts.gate_up_proj", kind="weight", transposed=True),
        Stored((EXPERT_DOWN,), THEIRS + "experts.down_proj", kind="weight", transposed=True),
    ),
    gguf=(
        Stored((ATTENTION + "q",), "blk.{i}.attn_q", order=heads_in_pairs),
        Stored((ATTENTION + "k",), "blk.{i}.attn_k", order=heads_in_pairs),
    ),
    dropped=("vision_model.*", "multi_modal_projector.*", *ROTARY_TABLES),
    prefixes=(("language_model.", ""),),
)


class Llama4(Decoder):
    """Experts of which each token visits few besides a shared one; layers that rotate within chunks, and some that see
    everything and do not rotate."""

    model_type = "llama4_text"
    gguf_architecture = "llama4"
    weights = WEIGHTS

    def block(self, config: ModelConfig, layer: int) -> Layer:
        assert isinstance(config, Llama4Config)
        assert config.experts is not None
        return Block(
            attention=Llama4Attention(config, layer),
            mlp=MixtureOfExperts(config, config.experts) if config.sparse[layer] else GatedMLP(config),
            norm=lambda: self.norm_over(config, config.hidden),
        )

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        fields = fields.mapping("text_config") or fields
        layers = layer_count(fields)
        rotated = _rotated(fields, layers)
        bias = fields.boolean("attention_bias", False)
        head_dim = fields.integer("head_dim")
        return decoder_from_hugging_face(
            fields,
            Llama4Config,
            "Llama4ForCausalLM",
            intermediate=fields.integer("intermediate_size_mlp"),
            head_dim=head_dim,
            rope=rope_from_hugging_face(fields, head_dim, theta=500000.0),
            norm_epsilon=fields.number("rms_norm_eps", 1e-5),
            qkv_bias=bias,
            output_bias=bias,
            rotated=rotated,
            chunks=_chunks(fields, rotated),
            sparse=_sparse(fields, layers),
            normalised=fields.boolean("use_qk_norm", True),
            temperature=_temperature(fields),
            experts=_experts(fields, "num_local_experts", "num_experts_per_tok", "intermediate_size"),
        )

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, Llama4Config)
        assert config.experts is not None
        temperature = config.temperature or Temperature()
        return {
            "attention_bias": config.qkv_bias,
            "intermediate_size": config.experts.intermediate,
            "intermediate_size_mlp": config.intermediate,
            "num_local_experts": config.experts.count,
            "num_experts_per_tok": config.experts.routing.top_k,
            "moe_layers": [layer for layer, sparse in enumerate(config.sparse) if sparse],
            "no_rope_layers": [int(rotated) for rotated in config.rotated],
            "layer_types": ["full_attention" if chunk is None else "chunked_attention" for chunk in config.chunks],
            "attention_chunk_size": next((chunk for chunk in config.chunks if chunk is not None), None),
            "use_qk_norm": config.normalised,
            "attn_temperature_tuning": config.temperature is not None,
            "floor_scale": temperature.floor,
            "attn_scale": temperature.growth,
        }

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        if fields.integer("attention.sliding_window", GGUF_CHUNK, least=0) != GGUF_CHUNK:
            raise fields.refuse("attention.sliding_window", f"none, or {GGUF_CHUNK}")
        if fields.integer("attention.sliding_window_pattern", GGUF_UNROTATED_STEP) != GGUF_UNROTATED_STEP:
            raise fields.refuse("attention.sliding_window_pattern", f"none, or {GGUF_UNROTATED_STEP}")
        layers = gguf_layer_count(fields)
        rotated = _all_but_every(GGUF_UNROTATED_STEP, layers)
        experts = _experts(fields, "expert_count", "expert_used_count", "expert_feed_forward_length")
        return decoder_from_gguf(
            fields,
            checkpoint,
            Llama4Config,
            "Llama4ForCausalLM",
            windows=(None,) * layers,
            rotated=rotated,
            chunks=tuple(GGUF_CHUNK if one else None for one in rotated),
            sparse=_every(fields.integer("interleave_moe_layer_step"), layers),
            normalised=experts.count != GGUF_EXPERTS_WITHOUT_NORM,
            temperature=Temperature(),
            experts=experts,
        )

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, Llama4Config)
        assert config.experts is not None
        layers = config.layers
        step = config.sparse.index(True) + 1 if True in config.sparse else layers + 1
        rotated = _all_but_every(GGUF_UNROTATED_STEP, layers)
        normalised = config.experts.count != GGUF_EXPERTS_WITHOUT_NORM
        require_words(
            "llama4",
            {
                "no biases in its attention": not config.qkv_bias,
                "experts in every so manieth layer": config.sparse == _every(step, layers),
                f"a rotation in all but every {GGUF_UNROTATED_STEP}th layer": config.rotated == rotated,
                f"chunks of {GGUF_CHUNK} in the layers with a rotation": config.chunks
                == tuple(GGUF_CHUNK if one else None for one in rotated),
                f"normalised queries unless it has {GGUF_EXPERTS_WITHOUT_NORM} experts": config.normalised
                == normalised,
                f"{Temperature()}": config.temperature == Temperature(),
            },
        )
        return {
            "interleave_moe_layer_step": step,
            "expert_feed_forward_length": config.experts.intermediate,
        }


def _every(step: int, layers: int) -> tuple[bool, ...]:
    """True for every layer whose number, counted from 1, is a multiple of the step."""
    return tuple((layer + 1) % step == 0 for layer in range(layers))


def _all_but_every(step: int, layers: int) -> tuple[bool, ...]:
    return tuple(not one for one in _every(step, layers))


def _rotated(fields: Fields, layers: int) -> tuple[bool, ...]:
    listed = fields.integers("no_rope_layers", most=1)  # 1, in spite of the name, for a layer that rotates
    if not listed:
        return _all_but_every(fields.integer("no_rope_layer_interval", 4), layers)
    if len(listed) < layers:
        raise fields.refuse("no_rope_layers", f"a list of at least {layers} values, or an empty one")
    return tuple(value == 1 for value in listed[:layers])


def _chunks(fields: Fields, rotated: tuple[bool, ...]) -> tuple[int | None, ...]:
    kinds = {"chunked_attention": True, "full_attention": False}
    chunked = fields.choices("layer_types", kinds, len(rotated)) if fields.has("layer_types") else rotated
    size = fields.integer("attention_chunk_size", 8192)
    return tuple(size if one else None for one in chunked)


def _sparse(fields: Fields, layers: int) -> tuple[bool, ...]:
    if not fields.has("moe_layers"):
        return _every(fields.integer("interleave_moe_layer_step", 1), layers)
    listed = fields.integers("moe_layers", most=layers - 1)
    return tuple(layer in listed for layer in range(layers))


def _temperature(fields: Fields) -> Temperature | None:
    key = "attn_temperature_tuning"
    # The first files had a number here, of which only whether it is 0 has a meaning.
    number = isinstance(found := fields.values.get(fields.prefix + key), int) and not isinstance(found, bool)
    wanted = fields.integer(key, least=0) > 0 if number else fields.boolean(key, True)
    return Temperature(fields.integer("floor_scale", 8192), fields.number("attn_scale", 0.1)) if wanted else None


def _experts(fields: Fields, count: str, top_k: str, intermediate: str) -> ExpertsConfig:
    """The mixture, by the names that a format has for its numbers. The shared expert is as wide as the others."""
    experts, width = fields.integer(count), fields.integer(intermediate)
    routing = Routing(fields.integer(top_k, most=experts), "sigmoid", normalise=False, weigh_inputs=True)
    return ExpertsConfig(count=experts, intermediate=width, routing=routing, shared=width)
