"""Configurations of small models, and such models with random weights."""

from __future__ import annotations

from typing import Any

from freehold.checkpoints import MemoryCheckpoint
from freehold.fitting import Subject, subject_in
from freehold.models.state import initial_checkpoint

SMALL: dict[str, Any] = {
    "hidden_act": "silu",
    "hidden_size": 72,
    "intermediate_size": 200,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **SMALL}
QWEN2 = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", **SMALL, "tie_word_embeddings": True}
MISTRAL = {"architectures": ["MistralForCausalLM"], "model_type": "mistral", **SMALL, "sliding_window": 32}
MIXTRAL = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    **SMALL,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}


def checkpoint(config: dict[str, Any]) -> MemoryCheckpoint:
    """Random float32 weights."""
    return initial_checkpoint(config, seed=0)


def subject(config: dict[str, Any]) -> Subject:
    """The model of `checkpoint`."""
    return subject_in("small", checkpoint(config), None)
