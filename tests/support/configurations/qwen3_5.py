"""Qwen 3.5, dense and mixture of experts."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig, Qwen3_5MoeTextConfig, Qwen3_5TextConfig

from tests.support.configurations.shapes import SHAPE

# Value heads share key heads in threes, and no feature count is a multiple of a vector's width.
DELTA: dict[str, Any] = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": 10,
    "linear_value_head_dim": 14,
    "linear_conv_kernel_dim": 4,
}
LAYERS: dict[str, Any] = {
    "num_hidden_layers": 4,
    "head_dim": 24,
    "layer_types": ["linear_attention", "full_attention", "linear_attention", "full_attention"],
}
# Multimodal RoPE, of which only the positions of text are looked at.
ROPE: dict[str, Any] = {
    "rope_type": "default",
    "rope_theta": 1e4,
    "partial_rotary_factor": 0.25,
    "mrope_interleaved": True,
    "mrope_section": [1, 1, 1],
}
EXPERTS: dict[str, Any] = {
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 20,
    "shared_expert_intermediate_size": 30,
}
SQUARE: dict[str, Any] = {"linear_key_head_dim": 16, "linear_value_head_dim": 16}
WIDE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "head_dim": 32,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
}
# So that rounding cannot choose others.
ALL_CHOSEN: dict[str, Any] = {
    "num_experts": 4,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 32,
}

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "qwen3.5": Qwen3_5TextConfig(
        **SHAPE | LAYERS | DELTA | SQUARE, rope_parameters=ROPE, architectures=["Qwen3_5ForCausalLM"]
    ),
    "qwen3.5-uneven": Qwen3_5TextConfig(
        **SHAPE | LAYERS | DELTA | {"layer_types": ["full_attention", *["linear_attention"] * 3]},
        rope_parameters=ROPE | {"partial_rotary_factor": 0.5},
        attention_bias=True,
        tie_word_embeddings=True,
        architectures=["Qwen3_5ForCausalLM"],
    ),
    "qwen3.5-one-group": Qwen3_5TextConfig(
        **SHAPE | LAYERS | DELTA | SQUARE | {"linear_num_key_heads": 6, "linear_conv_kernel_dim": 3},
        rope_parameters=ROPE,
        architectures=["Qwen3_5ForCausalLM"],
    ),
    "qwen3.5-moe": Qwen3_5MoeTextConfig(
        **SHAPE | LAYERS | DELTA | SQUARE | EXPERTS,
        rope_parameters=ROPE,
        architectures=["Qwen3_5MoeForCausalLM"],
    ),
    # Whole quantised blocks in every row, so that heads that lie elsewhere are not unpacked.
    "qwen3.5-wide": Qwen3_5TextConfig(
        **SHAPE | LAYERS | DELTA | WIDE, rope_parameters=ROPE, architectures=["Qwen3_5ForCausalLM"]
    ),
    "qwen3.5-moe-wide": Qwen3_5MoeTextConfig(
        **SHAPE | LAYERS | DELTA | WIDE | EXPERTS | ALL_CHOSEN,
        rope_parameters=ROPE,
        architectures=["Qwen3_5MoeForCausalLM"],
    ),
}
