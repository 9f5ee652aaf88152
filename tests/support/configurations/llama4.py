"""Llama 4."""

from __future__ import annotations

from typing import Any

from transformers import Llama4TextConfig, PretrainedConfig

from tests.support.configurations.shapes import LLAMA3_ROPE
from tests.support.configurations.shapes import SHAPE as COMMON

ARCHITECTURES = ["Llama4ForCausalLM"]
SHAPE: dict[str, Any] = COMMON | {
    "num_hidden_layers": 4,
    "head_dim": 14,
    "intermediate_size": 38,
    "intermediate_size_mlp": 106,
    "num_local_experts": 6,
    "num_experts_per_tok": 1,
}
# A frequency is divided or kept, with no ramp between.
SCOUT_ROPE = LLAMA3_ROPE | {
    "factor": 16.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
}


def _config(**differences: Any) -> PretrainedConfig:
    return Llama4TextConfig(**(SHAPE | differences), architectures=ARCHITECTURES)


CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "llama4": _config(rope_parameters=SCOUT_ROPE),
    "llama4-chunks": _config(
        attention_chunk_size=16,
        floor_scale=8,
        attn_scale=0.4,
        use_qk_norm=False,
        rope_parameters=SCOUT_ROPE | {"original_max_position_embeddings": 32},
    ),
    "llama4-interleaved": _config(interleave_moe_layer_step=2, tie_word_embeddings=True),
    "llama4-listed": _config(
        moe_layers=[1, 2],
        num_experts_per_tok=2,
        no_rope_layers=[0, 1, 0, 1],
        layer_types=["full_attention", "chunked_attention", "chunked_attention", "full_attention"],
        attention_chunk_size=11,
        attn_temperature_tuning=False,
        rope_parameters=LLAMA3_ROPE,
        attention_bias=True,
    ),
    "llama4-wide": _config(
        hidden_size=64, head_dim=32, intermediate_size=32, intermediate_size_mlp=96, interleave_moe_layer_step=2
    ),
}
