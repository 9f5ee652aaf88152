"""Mixtral."""

from __future__ import annotations

from typing import Any

from transformers import MixtralConfig, PretrainedConfig

from tests.support.configurations.shapes import SHAPE, YARN_ROPE

EXPERTS: dict[str, Any] = SHAPE | {"num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": None}
NAMES = ["MixtralForCausalLM"]

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "mixtral": MixtralConfig(**EXPERTS, architectures=NAMES),
    "mixtral-tied": MixtralConfig(
        **EXPERTS | {"num_experts_per_tok": 1}, tie_word_embeddings=True, architectures=NAMES
    ),
    "mixtral-window": MixtralConfig(**EXPERTS | {"sliding_window": 9, "head_dim": 14}, architectures=NAMES),
    "mixtral-yarn": MixtralConfig(**EXPERTS, head_dim=10, rope_parameters=YARN_ROPE, architectures=NAMES),
    # Rows of whole quantised blocks, so that other programs can quantise it; every expert is chosen, so that rounding
    # cannot choose others.
    "mixtral-wide": MixtralConfig(
        **EXPERTS | {"hidden_size": 96, "intermediate_size": 128, "num_experts_per_tok": 5}, architectures=NAMES
    ),
}
