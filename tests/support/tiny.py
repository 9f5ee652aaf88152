"""Tiny random models made by transformers, which is the reference that parity is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import LlamaConfig, MistralConfig, PretrainedConfig, PreTrainedModel, Qwen2Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from freehold.checkpoints.base import MemoryCheckpoint
from freehold.tensors import Tensor

# Odd on purpose: no size is a multiple of a vector's width or of a quantised group.
SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 60,
    "intermediate_size": 106,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN_ROPE = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 64}

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**SHAPE, architectures=["LlamaForCausalLM"]),
    "llama-3.1-rope": LlamaConfig(**SHAPE, rope_parameters=LLAMA3_ROPE, architectures=["LlamaForCausalLM"]),
    "llama-linear-rope": LlamaConfig(
        **SHAPE,
        rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
        architectures=["LlamaForCausalLM"],
    ),
    "llama-biases": LlamaConfig(
        **SHAPE, attention_bias=True, mlp_bias=True, tie_word_embeddings=True, architectures=["LlamaForCausalLM"]
    ),
    "llama-head-dim": LlamaConfig(**SHAPE, head_dim=22, architectures=["LlamaForCausalLM"]),
    "mistral": MistralConfig(**SHAPE, sliding_window=None, architectures=["MistralForCausalLM"]),
    "mistral-window": MistralConfig(**SHAPE, sliding_window=9, head_dim=14, architectures=["MistralForCausalLM"]),
    "qwen2": Qwen2Config(**SHAPE, tie_word_embeddings=True, architectures=["Qwen2ForCausalLM"]),
    "qwen2-window": Qwen2Config(
        **SHAPE, use_sliding_window=True, sliding_window=7, max_window_layers=1, architectures=["Qwen2ForCausalLM"]
    ),
    "qwen2-yarn": Qwen2Config(**SHAPE, rope_parameters=YARN_ROPE, architectures=["Qwen2ForCausalLM"]),
}


def reference(configuration: PretrainedConfig, seed: int = 0) -> PreTrainedModel:
    """A float32 model with weights wide enough that every part of it shows in the logits."""
    torch.manual_seed(seed)
    build: Any = AutoModelForCausalLM.from_config  # transformers leaves it without types
    model: PreTrainedModel = build(configuration, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            deviation = 0.2 if parameter.ndim == 2 else 0.3
            parameter.normal_(1.0 if "norm" in name else 0.0, deviation)
    return model


def checkpoint_of(model: PreTrainedModel) -> MemoryCheckpoint:
    """The model's weights and configuration, as a folder would hold them."""
    tied = model.config.tie_word_embeddings
    return MemoryCheckpoint(
        model.config.to_dict(),
        {
            name: Tensor.from_array(name, value.detach().numpy())
            for name, value in model.state_dict().items()
            if not (tied and name == "lm_head.weight")
        },
    )


def reference_logits(model: PreTrainedModel, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
    """Logits of every position of every sequence, each computed alone: [tokens, vocabulary]."""
    with torch.no_grad():
        rows = [model(torch.tensor([list(sequence)])).logits[0].numpy() for sequence in sequences]
    return np.concatenate(rows)


def relative_error(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Largest difference, relative to the largest expected value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
