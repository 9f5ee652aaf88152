"""The parts of a configuration that the families share, from Hugging Face's names and from GGUF's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freehold.checkpoints.base import Checkpoint
from freehold.errors import ConfigError
from freehold.models.config import (
    FrequencyFactors,
    LinearScaling,
    Llama3Scaling,
    ModelConfig,
    RopeConfig,
    RopeScaling,
    YarnScaling,
)
from freehold.models.fields import Fields

MOST_LAYERS = 4096
ACTIVATIONS = {"silu": "silu", "gelu_pytorch_tanh": "gelu_tanh"}


def decoder_from_hugging_face(fields: Fields, architecture: str, **differences: Any) -> ModelConfig:
    """Llama-shaped configuration from config.json.

    Args:
        differences: attributes of ModelConfig that the family knows better.

    Raises:
        ConfigError: a value is absent, malformed, or one we cannot honour.
    """
    refuse_foreign_code(fields)
    hidden = fields.integer("hidden_size")
    heads = fields.integer("num_attention_heads")
    layers = layer_count(fields)
    head_dim = fields.integer("head_dim", hidden // heads)
    values: dict[str, Any] = {
        "architecture": architecture,
        "vocabulary": fields.integer("vocab_size"),
        "hidden": hidden,
        "intermediate": fields.integer("intermediate_size"),
        "layers": layers,
        "heads": heads,
        "kv_heads": fields.integer("num_key_value_heads", heads),
        "head_dim": head_dim,
        "context_length": fields.integer("max_position_embeddings"),
        "norm_epsilon": fields.number("rms_norm_eps", 1e-6),
        "rope": rope_from_hugging_face(fields, head_dim),
        "activation": fields.choice("hidden_act", ACTIVATIONS, "silu"),
        "windows": (None,) * layers,
        "tied_embeddings": fields.boolean("tie_word_embeddings", False),
    }
    return checked(ModelConfig(**(values | differences)), fields)


def layer_count(fields: Fields) -> int:
    """Layers by config.json, bounded before anything is built for each of them."""
    return fields.integer("num_hidden_layers", most=MOST_LAYERS)


def refuse_foreign_code(fields: Fields) -> None:
    """Refuse folders whose meaning lies in code of their own, or whose weights are in a form we do not read."""
    if fields.has("auto_map"):
        raise fields.refuse("auto_map", "none, since code from a model folder is never run")
    if fields.has("quantization_config"):
        raise fields.refuse("quantization_config", "none; use the float weights or a GGUF file")


def rope_from_hugging_face(fields: Fields, head_dim: int) -> RopeConfig:
    """Rotary embedding, from `rope_parameters` (newer files) or `rope_theta` and `rope_scaling`."""
    parameters = fields.mapping("rope_parameters")
    scaling = parameters if parameters is not None else fields.mapping("rope_scaling")
    theta = (parameters if parameters is not None else fields).number("rope_theta", 10000.0)
    return RopeConfig(theta, head_dim, None if scaling is None else _scaling(scaling, fields))


def _scaling(scaling: Fields, model: Fields) -> RopeScaling | None:
    kind = scaling.choice(
        "rope_type" if scaling.has("rope_type") else "type",
        {kind: kind for kind in ("default", "linear", "llama3", "yarn")},
        "default",
    )
    match kind:
        case "linear":
            return LinearScaling(scaling.number("factor"))
        case "llama3":
            return Llama3Scaling(
                scaling.number("factor"),
                scaling.number("low_freq_factor"),
                scaling.number("high_freq_factor"),
                scaling.integer("original_max_position_embeddings"),
            )
        case "yarn":
            return YarnScaling(
                factor=scaling.number("factor"),
                original_context=scaling.integer(
                    "original_max_position_embeddings", model.integer("max_position_embeddings")
                ),
                beta_fast=scaling.number("beta_fast", 32.0),
                beta_slow=scaling.number("beta_slow", 1.0),
                attention_factor=scaling.number("attention_factor") if scaling.has("attention_factor") else None,
            )
    return None


def decoder_from_gguf(fields: Fields, checkpoint: Checkpoint, architecture: str, **differences: Any) -> ModelConfig:
    """Llama-shaped configuration from GGUF metadata, whose keys carry the architecture as prefix."""
    embedding = checkpoint.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ConfigError(f"{fields.source}: tensor `token_embd.weight` is absent or not two-dimensional")
    hidden = fields.integer("embedding_length")
    heads = fields.integer("attention.head_count")
    layers = fields.integer("block_count", most=MOST_LAYERS)
    head_dim = fields.integer("attention.key_length", hidden // heads)
    if fields.integer("attention.value_length", head_dim) != head_dim:
        raise fields.refuse("attention.value_length", f"the key length, {head_dim}")
    window = fields.integer("attention.sliding_window") if fields.has("attention.sliding_window") else None
    values: dict[str, Any] = {
        "architecture": architecture,
        "vocabulary": embedding.shape[0],
        "hidden": hidden,
        "intermediate": fields.integer("feed_forward_length"),
        "layers": layers,
        "heads": heads,
        "kv_heads": fields.integer("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "context_length": fields.integer("context_length"),
        "norm_epsilon": fields.number("attention.layer_norm_rms_epsilon"),
        "rope": _rope_from_gguf(fields, checkpoint, head_dim),
        "activation": "silu",
        "windows": (window,) * layers,
        "tied_embeddings": "output.weight" not in checkpoint.tensors,
    }
    return checked(ModelConfig(**(values | differences)), fields)


def _rope_from_gguf(fields: Fields, checkpoint: Checkpoint, head_dim: int) -> RopeConfig:
    dimensions = fields.integer("rope.dimension_count", head_dim)
    kind = fields.choice("rope.scaling.type", {kind: kind for kind in ("none", "linear", "yarn")}, "none")
    scaling: RopeScaling | None = None
    if "rope_freqs.weight" in checkpoint.tensors:
        factors = checkpoint.read("rope_freqs.weight").float32().reshape(-1)
        if len(factors) != dimensions // 2 or not (factors > 0).all():
            raise ConfigError(
                f"{fields.source}: `rope_freqs.weight` holds {len(factors)} values; "
                f"supported: {dimensions // 2} values above 0"
            )
        scaling = FrequencyFactors(tuple(float(factor) for factor in factors))
    elif kind == "linear":
        scaling = LinearScaling(fields.number("rope.scaling.factor"))
    elif kind == "yarn":
        scaling = YarnScaling(
            factor=fields.number("rope.scaling.factor"),
            original_context=fields.integer("rope.scaling.original_context_length"),
            beta_fast=fields.number("rope.scaling.yarn_beta_fast", 32.0),
            beta_slow=fields.number("rope.scaling.yarn_beta_slow", 1.0),
            attention_factor=fields.number("rope.scaling.attn_factor")
            if fields.has("rope.scaling.attn_factor")
            else None,
        )
    return RopeConfig(fields.number("rope.freq_base", 10000.0), dimensions, scaling)


def checked(config: ModelConfig, fields: Fields) -> ModelConfig:
    """The configuration, once its numbers are known to fit each other."""
    relations: Mapping[str, bool] = {
        f"heads ({config.heads}) must be a multiple of KV heads ({config.kv_heads})": (
            config.heads % config.kv_heads == 0
        ),
        f"rotated dimensions ({config.rope.dimensions}) must be even and at most head_dim ({config.head_dim})": (
            config.rope.dimensions % 2 == 0 and config.rope.dimensions <= config.head_dim
        ),
        f"vocabulary ({config.vocabulary}) x hidden ({config.hidden}) must fit an address space": (
            config.vocabulary * config.hidden < 2**40
        ),
    }
    for relation, holds in relations.items():
        if not holds:
            raise ConfigError(f"{fields.source}: {relation}", hint="the configuration is damaged or not of this family")
    return config
