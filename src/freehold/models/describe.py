"""Our configuration in the words of others: config.json for Hugging Face, metadata for GGUF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from freehold.errors import ConfigError
from freehold.models.config import (
    FrequencyFactors,
    LinearScaling,
    Llama3Scaling,
    ModelConfig,
    RopeConfig,
    YarnScaling,
)
from freehold.models.registry import family_named
from freehold.models.rope import Float32Array, rope_frequencies, yarn_attention_factor
from freehold.models.translate import ACTIVATIONS

# Llama 3.1, 3.2 and 4 as released, by the factor that tells them apart.
RELEASED_LLAMA3 = (
    Llama3Scaling(8.0, 1.0, 4.0, 8192),
    Llama3Scaling(32.0, 1.0, 4.0, 8192),
    Llama3Scaling(16.0, 1.0, 1.0, 8192),
)


def to_hugging_face(config: ModelConfig) -> dict[str, Any]:
    """The config.json that translates back to this configuration.

    Raises:
        ConfigError: Hugging Face's format has no words for it.
    """
    family = family_named(config.architecture)
    values: dict[str, Any] = {
        "architectures": [config.architecture],
        "model_type": family.model_type,
        "vocab_size": config.vocabulary,
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context_length,
        "rms_norm_eps": config.norm_epsilon,
        "hidden_act": next((theirs for theirs, ours in ACTIVATIONS.items() if ours == config.activation), None),
        "tie_word_embeddings": config.tied_embeddings,
    }
    if config.rope is not None:
        values |= {"rope_theta": config.rope.theta, "rope_scaling": scaling_words(config.rope)}
        if config.rope.dimensions != config.head_dim:
            values["partial_rotary_factor"] = config.rope.dimensions / config.head_dim
    own = family.to_hugging_face(config)
    left_out = {key for key in values if key in own and own[key] is None}
    return {key: value for key, value in (values | dict(own)).items() if key not in left_out}


def scaling_words(rope: RopeConfig) -> dict[str, Any] | None:
    """The object under `rope_scaling` that says how a model's rotation is scaled; None for not at all."""
    scaling = _recognised(rope, rope.scaling) if isinstance(rope.scaling, FrequencyFactors) else rope.scaling
    match scaling:
        case None:
            return None
        case LinearScaling(factor):
            return {"rope_type": "linear", "factor": factor}
        case Llama3Scaling():
            return {
                "rope_type": "llama3",
                "factor": scaling.factor,
                "low_freq_factor": scaling.low_frequency_factor,
                "high_freq_factor": scaling.high_frequency_factor,
                "original_max_position_embeddings": scaling.original_context,
            }
        case YarnScaling():
            return {
                "rope_type": "yarn",
                "factor": scaling.factor,
                "original_max_position_embeddings": scaling.original_context,
                "beta_fast": scaling.beta_fast,
                "beta_slow": scaling.beta_slow,
                "attention_factor": scaling.attention_factor,
                "truncate": scaling.truncate,
            }


def _recognised(rope: RopeConfig, found: FrequencyFactors) -> Llama3Scaling:
    """The released scaling whose factors these are; GGUF keeps only the factors."""
    for scaling in RELEASED_LLAMA3:
        factors = frequency_factors(RopeConfig(rope.theta, rope.dimensions, scaling))
        if np.allclose(factors, found.factors, rtol=1e-5):
            return scaling
    raise ConfigError(
        "config.json cannot hold this model's RoPE frequency factors: they are not those of a released Llama",
        hint="keep the model in GGUF",
    )


def frequency_factors(rope: RopeConfig) -> Float32Array:
    """What each unscaled frequency is divided by, [rope.dimensions / 2] float32: GGUF's `rope_freqs.weight`."""
    if isinstance(rope.scaling, FrequencyFactors):
        return np.asarray(rope.scaling.factors, np.float32)
    plain, _ = rope_frequencies(RopeConfig(rope.theta, rope.dimensions))
    scaled, _ = rope_frequencies(rope)
    factors: Float32Array = plain / scaled
    return factors


def to_gguf(config: ModelConfig, name: str) -> dict[str, Any]:
    """The GGUF metadata that translates back to this configuration, without the vocabulary.

    Raises:
        ConfigError: GGUF has no words for it.
    """
    family = family_named(config.architecture)
    architecture = family.gguf_architecture
    if architecture is None:
        raise ConfigError(f"GGUF has no words for {config.architecture}", hint="export to safetensors")
    values: dict[str, Any] = {
        "context_length": config.context_length,
        "embedding_length": config.hidden,
        "block_count": config.layers,
        "feed_forward_length": config.intermediate,
        "attention.head_count": config.heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": config.norm_epsilon,
        "vocab_size": config.vocabulary,
    }
    values |= _rope_words(config.rope, family.gguf_yarn_truncates)
    if config.experts is not None:
        values["expert_count"] = config.experts.count
        values["expert_used_count"] = config.experts.routing.top_k
    extra = dict(family.to_gguf(config))
    windows = set(config.windows)
    if "attention.sliding_window" not in extra and windows != {None}:
        if len(windows) > 1:
            raise ConfigError(
                f"GGUF's `{architecture}` cannot say that only some layers have a window ({config.windows})",
                hint="export to safetensors",
            )
        values["attention.sliding_window"] = windows.pop()
    said = {key: value for key, value in (values | extra).items() if value is not None}
    return {"general.architecture": architecture, "general.name": name} | {
        key if key.startswith("tokenizer.") else f"{architecture}.{key}": value for key, value in said.items()
    }


def require_words(architecture: str, conditions: Mapping[str, bool]) -> None:
    """Refuse to write what other programs would silently compute in another way.

    Args:
        architecture: GGUF's name for the family.
        conditions: what GGUF takes for granted in this family, and whether the model has it so.

    Raises:
        ConfigError: names the first that does not hold.
    """
    for condition, holds in conditions.items():
        if not holds:
            raise ConfigError(
                f"GGUF takes for granted that `{architecture}` has {condition}; this model has not",
                hint="export to safetensors",
            )


def _rope_words(rope: RopeConfig | None, yarn_truncates: bool) -> dict[str, Any]:
    if rope is None:
        return {}
    words: dict[str, Any] = {"rope.dimension_count": rope.dimensions, "rope.freq_base": rope.theta}
    match rope.scaling:
        case LinearScaling(factor):
            words |= {"rope.scaling.type": "linear", "rope.scaling.factor": factor}
        case YarnScaling() as yarn:
            if (yarn.beta_fast, yarn.beta_slow) != (32.0, 1.0):
                # There are keys for them, which llama.cpp does not look at in the files of most families.
                raise ConfigError(
                    "GGUF takes for granted that YaRN's `beta_fast` and `beta_slow` are 32 and 1; "
                    f"this model has {yarn.beta_fast:g} and {yarn.beta_slow:g}",
                    hint="export to safetensors",
                )
            if yarn.truncate != yarn_truncates:
                raise ConfigError(
                    f"GGUF takes for granted that YaRN's `truncate` is {yarn_truncates} here; "
                    f"this model has {yarn.truncate}",
                    hint="export to safetensors",
                )
            words |= {
                "rope.scaling.type": "yarn",
                "rope.scaling.factor": yarn.factor,
                "rope.scaling.original_context_length": yarn.original_context,
            }
            if yarn.attention_factor is not None:
                # GGUF's number comes on top of the published one.
                words["rope.scaling.attn_factor"] = yarn.attention_factor / yarn_attention_factor(yarn.factor)
    return words
