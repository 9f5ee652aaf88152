"""Mistral."""

from __future__ import annotations

from transformers import MistralConfig, PretrainedConfig

from tests.support.configurations.shapes import SHAPE

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "mistral": MistralConfig(**SHAPE, sliding_window=None, architectures=["MistralForCausalLM"]),
    "mistral-window": MistralConfig(**SHAPE, sliding_window=9, head_dim=14, architectures=["MistralForCausalLM"]),
}
