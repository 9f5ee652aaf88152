"""StableLM."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig, StableLmConfig

from tests.support.configurations.shapes import SHAPE

OWN: dict[str, Any] = {
    **{key: value for key, value in SHAPE.items() if key != "rms_norm_eps"},
    "hidden_size": 96,
    "architectures": ["StableLmForCausalLM"],
}

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "stablelm": StableLmConfig(**OWN, rope_parameters={"partial_rotary_factor": 0.5, "rope_theta": 1e4}),
    "stablelm-biases": StableLmConfig(**OWN, use_qkv_bias=True, tie_word_embeddings=True),
    "stablelm-parallel": StableLmConfig(**OWN, use_parallel_residual=True, qk_layernorm=True),
    "stablelm-head-norms": StableLmConfig(
        **OWN, qk_layernorm=True, rope_parameters={"partial_rotary_factor": 1.0, "rope_theta": 1e5}
    ),
}
