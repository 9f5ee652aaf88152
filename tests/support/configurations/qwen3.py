"""Qwen 3, dense and with experts."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig, Qwen3Config, Qwen3MoeConfig

from tests.support.configurations.shapes import SHAPE, YARN_ROPE

HEADS: dict[str, Any] = {"head_dim": 14}
# Rows of whole quantised blocks, so that other programs can quantise it.
WIDE: dict[str, Any] = SHAPE | {"hidden_size": 96, "intermediate_size": 128, "head_dim": 16}
EXPERTS: dict[str, Any] = SHAPE | {
    "head_dim": 14,
    "num_hidden_layers": 3,
    "num_experts": 7,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 42,
    "norm_topk_prob": True,
}
DENSE, MIXED = ["Qwen3ForCausalLM"], ["Qwen3MoeForCausalLM"]

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "qwen3": Qwen3Config(**SHAPE, **HEADS, tie_word_embeddings=True, architectures=DENSE),
    "qwen3-biases": Qwen3Config(**SHAPE, **HEADS, attention_bias=True, architectures=DENSE),
    "qwen3-window": Qwen3Config(
        **SHAPE, **HEADS, use_sliding_window=True, sliding_window=7, max_window_layers=1, architectures=DENSE
    ),
    "qwen3-window-first": Qwen3Config(
        **SHAPE,
        **HEADS,
        use_sliding_window=True,
        sliding_window=9,
        layer_types=["sliding_attention", "full_attention"],
        architectures=DENSE,
    ),
    "qwen3-yarn": Qwen3Config(**SHAPE, **HEADS, rope_parameters=YARN_ROPE, architectures=DENSE),
    "qwen3-yarn-factor": Qwen3Config(
        **SHAPE,
        **HEADS,
        rope_parameters=YARN_ROPE | {"attention_factor": 0.9, "rope_theta": 100.0},
        architectures=DENSE,
    ),
    "qwen3-yarn-ramp": Qwen3Config(
        **SHAPE,
        **HEADS,
        rope_parameters=YARN_ROPE | {"beta_fast": 8.0, "beta_slow": 0.5, "rope_theta": 100.0},
        architectures=DENSE,
    ),
    "qwen3-wide": Qwen3Config(**WIDE, architectures=DENSE),
    "qwen3-moe": Qwen3MoeConfig(**EXPERTS, architectures=MIXED),
    "qwen3-moe-unnormalised": Qwen3MoeConfig(**EXPERTS | {"norm_topk_prob": False}, architectures=MIXED),
    "qwen3-moe-dense-between": Qwen3MoeConfig(**EXPERTS, decoder_sparse_step=2, architectures=MIXED),
    "qwen3-moe-dense-listed": Qwen3MoeConfig(
        **EXPERTS, mlp_only_layers=[1], attention_bias=True, tie_word_embeddings=True, architectures=MIXED
    ),
    "qwen3-moe-window": Qwen3MoeConfig(**EXPERTS, use_sliding_window=True, sliding_window=9, architectures=MIXED),
    "qwen3-moe-yarn": Qwen3MoeConfig(**EXPERTS, rope_parameters=YARN_ROPE, architectures=MIXED),
    # Every expert is chosen, so that rounding cannot choose others.
    "qwen3-moe-wide": Qwen3MoeConfig(
        **EXPERTS | WIDE | {"moe_intermediate_size": 64, "num_experts": 4, "num_experts_per_tok": 4},
        architectures=MIXED,
    ),
}
