"""The parts of a configuration that the families share, from Hugging Face's names and from GGUF's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from freehold.checkpoints.base import Checkpoint
from freehold.errors import ConfigError
from freehold.models.config import (
    ExpertsConfig,
    FrequencyFactors,
    LinearScaling,
    Llama3Scaling,
    ModelConfig,
    RopeConfig,
    RopeScaling,
    YarnScaling,
)
from freehold.models.fields import Fields
from freehold.models.rope import yarn_attention_factor
from freehold.ops.base import Routing

Config = TypeVar("Config", bound=ModelConfig)

MOST_LAYERS = 4096
# Heads or experts of all layers together: each may have a matrix of its own, with a name of its own.
MOST_PARTS = 2**18
# GGUF's numbers for a softmax over all experts and for one over the chosen, which is the same after normalising.
GGUF_SOFTMAX_GATING = (1, 3)
ACTIVATIONS = {"silu": "silu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}


def decoder_from_hugging_face(fields: Fields, config: type[Config], architecture: str, **differences: Any) -> Config:
    """Llama-shaped configuration from config.json.

    Args:
        config: ModelConfig, or the family's own kind of it.
        architecture: the registry's name.
        differences: attributes of it that the family knows better; their keys in config.json are not looked at.

    Raises:
        ConfigError: a value is absent, malformed, or one we cannot honour.
    """
    hidden = fields.integer("hidden_size")
    heads = fields.integer("num_attention_heads")
    layers = layer_count(fields)
    head_dim = differences.get("head_dim") or fields.integer("head_dim", hidden // heads)
    shared: dict[str, Callable[[], Any]] = {
        "architecture": lambda: architecture,
        "vocabulary": lambda: fields.integer("vocab_size"),
        "hidden": lambda: hidden,
        "intermediate": lambda: fields.integer("intermediate_size"),
        "layers": lambda: layers,
        "heads": lambda: heads,
        "kv_heads": lambda: fields.integer("num_key_value_heads", heads),
        "head_dim": lambda: head_dim,
        "context_length": lambda: fields.integer("max_position_embeddings"),
        "norm_epsilon": lambda: fields.number("rms_norm_eps", 1e-6),
        "rope": lambda: rope_from_hugging_face(fields, head_dim),
        "activation": lambda: fields.choice("hidden_act", ACTIVATIONS, "silu"),
        "windows": lambda: (None,) * layers,
        "tied_embeddings": lambda: fields.boolean("tie_word_embeddings", False),
    }
    return built(config, shared, differences, fields)


def built(
    config: type[Config], shared: Mapping[str, Callable[[], Any]], differences: Mapping[str, Any], fields: Fields
) -> Config:
    """The configuration from what families share, as far as the family does not know better, checked."""
    values = {name: read() for name, read in shared.items() if name not in differences}
    return checked(config(**values, **differences), fields)


def layer_count(fields: Fields) -> int:
    """Layers by config.json, bounded before anything is built for each of them."""
    return fields.integer("num_hidden_layers", most=MOST_LAYERS)


def windows_by_type(fields: Fields, layers: int, default: tuple[bool, ...]) -> tuple[int | None, ...]:
    """Each layer's window, from `layer_types` and `sliding_window`.

    Args:
        default: whether each layer has a window, where `layer_types` is absent.
    """
    kinds = {"sliding_attention": True, "full_attention": False}
    sliding = fields.choices("layer_types", kinds, layers) if fields.has("layer_types") else default
    window = fields.integer("sliding_window") if any(sliding) else None
    return tuple(window if one else None for one in sliding)


def window_words(config: ModelConfig) -> dict[str, Any]:
    """The inverse of `windows_by_type`."""
    kinds = ["full_attention" if window is None else "sliding_attention" for window in config.windows]
    window = next((window for window in config.windows if window is not None), None)
    return {"layer_types": kinds} | ({} if window is None else {"sliding_window": window})


def rope_from_hugging_face(fields: Fields, head_dim: int, *, theta: float = 10000.0, share: float = 1.0) -> RopeConfig:
    """Rotary embedding, from `rope_parameters` (newer files) or `rope_theta` and `rope_scaling`.

    Args:
        theta: where the file says nothing.
        share: of the head's features are rotated, where the file says nothing (`partial_rotary_factor`).
    """
    parameters = fields.mapping("rope_parameters")
    scaling = parameters if parameters is not None else fields.mapping("rope_scaling")
    place = parameters if parameters is not None and parameters.has("rope_theta") else fields
    share = fields.number("partial_rotary_factor", share)
    if parameters is not None:
        share = parameters.number("partial_rotary_factor", share)
    dimensions = int(head_dim * share)
    return RopeConfig(
        place.number("rope_theta", theta), dimensions, None if scaling is None else _scaling(scaling, fields)
    )


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
                truncate=scaling.boolean("truncate", True),
            )
    return None


def decoder_from_gguf(
    fields: Fields, checkpoint: Checkpoint, config: type[Config], architecture: str, **differences: Any
) -> Config:
    """Llama-shaped configuration from GGUF metadata, whose keys carry the architecture as prefix.

    Args:
        config, architecture, differences: as for `decoder_from_hugging_face`.
    """
    embedding = checkpoint.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ConfigError(f"{fields.source}: tensor `token_embd.weight` is absent or not two-dimensional")
    vocabulary = embedding.shape[0]
    hidden = fields.integer("embedding_length")
    heads = fields.integer("attention.head_count")
    layers = gguf_layer_count(fields)
    head_dim = differences.get("head_dim") or fields.integer("attention.key_length", hidden // heads)
    if "head_dim" not in differences and fields.integer("attention.value_length", head_dim) != head_dim:
        raise fields.refuse("attention.value_length", f"the key length, {head_dim}")
    window = fields.integer("attention.sliding_window") if fields.has("attention.sliding_window") else None
    shared: dict[str, Callable[[], Any]] = {
        "architecture": lambda: architecture,
        "vocabulary": lambda: vocabulary,
        "hidden": lambda: hidden,
        "intermediate": lambda: fields.integer("feed_forward_length"),
        "layers": lambda: layers,
        "heads": lambda: heads,
        "kv_heads": lambda: fields.integer("attention.head_count_kv", heads),
        "head_dim": lambda: head_dim,
        "context_length": lambda: fields.integer("context_length"),
        "norm_epsilon": lambda: fields.number("attention.layer_norm_rms_epsilon"),
        "rope": lambda: rope_from_gguf(fields, checkpoint, head_dim),
        "activation": lambda: "silu",
        "windows": lambda: (window,) * layers,
        "tied_embeddings": lambda: "output.weight" not in checkpoint.tensors,
    }
    return built(config, shared, differences, fields)


def gguf_layer_count(fields: Fields) -> int:
    """Layers by GGUF metadata, bounded before anything is built for each of them."""
    return fields.integer("block_count", most=MOST_LAYERS)


def rope_from_gguf(fields: Fields, checkpoint: Checkpoint, head_dim: int, *, yarn_truncates: bool = True) -> RopeConfig:
    """Rotary embedding from GGUF metadata, and from the table of factors that some files carry.

    Args:
        yarn_truncates: whether YaRN's ramp begins and ends at whole dimensions, which the files do not say.
    """
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
        scaling = _yarn_from_gguf(fields, yarn_truncates)
    return RopeConfig(fields.number("rope.freq_base", 10000.0), dimensions, scaling)


def _yarn_from_gguf(fields: Fields, truncates: bool) -> YarnScaling:
    if fields.number("rope.scaling.yarn_ext_factor", 1.0) != 1.0:
        raise fields.refuse("rope.scaling.yarn_ext_factor", "1")
    factor, own = fields.number("rope.scaling.factor"), fields.optional_number("rope.scaling.attn_factor")
    return YarnScaling(
        factor=factor,
        original_context=fields.integer("rope.scaling.original_context_length"),
        beta_fast=fields.number("rope.scaling.yarn_beta_fast", 32.0),
        beta_slow=fields.number("rope.scaling.yarn_beta_slow", 1.0),
        # llama.cpp multiplies the published factor by the file's.
        attention_factor=None if own is None else own * yarn_attention_factor(factor),
        truncate=truncates,
    )


def experts_from_gguf(fields: Fields, intermediate: int) -> ExpertsConfig:
    """A mixture by softmax over all experts, the chosen weights divided by their sum.

    Args:
        intermediate: width of each expert.
    """
    if fields.has("expert_weights_scale") and fields.number("expert_weights_scale") != 1.0:
        raise fields.refuse("expert_weights_scale", "1")
    if fields.has("expert_gating_func") and fields.integer("expert_gating_func") not in GGUF_SOFTMAX_GATING:
        raise fields.refuse("expert_gating_func", "a softmax")
    count = fields.integer("expert_count")
    return ExpertsConfig(
        count=count,
        intermediate=intermediate,
        routing=Routing(fields.integer("expert_used_count", most=count)),
    )


def checked(config: Config, fields: Fields) -> Config:
    """The configuration, once its numbers are known to fit each other."""
    rotated = 0 if config.rope is None else config.rope.dimensions
    experts = 0 if config.experts is None else config.experts.count
    relations: Mapping[str, bool] = {
        f"heads ({config.heads}) must be a multiple of KV heads ({config.kv_heads})": (
            config.heads % config.kv_heads == 0
        ),
        f"rotated dimensions ({rotated}) must be even and at most head_dim ({config.head_dim})": (
            rotated % 2 == 0 and rotated <= config.head_dim
        ),
        f"vocabulary ({config.vocabulary}) x hidden ({config.hidden}) must fit an address space": (
            config.vocabulary * config.hidden < 2**40
        ),
        f"heads ({config.heads}) and experts ({experts}) in {config.layers} layers must be at most {MOST_PARTS}": (
            max(config.heads, experts) * config.layers <= MOST_PARTS
        ),
    }
    for relation, holds in relations.items():
        if not holds:
            raise ConfigError(f"{fields.source}: {relation}", hint="the configuration is damaged or not of this family")
    return config
