"""DeepSeek V3 and R1."""

from __future__ import annotations

from typing import Any

from transformers import DeepseekV3Config, PretrainedConfig

ARCHITECTURES = ["DeepseekV3ForCausalLM"]
# Odd sizes on purpose, as in `shapes`; but the rotated features are pairs, and groups are of equal size.
SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 60,
    "intermediate_size": 106,
    "moe_intermediate_size": 38,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "num_key_value_heads": 5,
    "qk_nope_head_dim": 14,
    "qk_rope_head_dim": 10,
    "v_head_dim": 18,
    "kv_lora_rank": 26,
    "q_lora_rank": 34,
    "n_routed_experts": 12,
    "n_shared_experts": 1,
    "num_experts_per_tok": 3,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 2.5,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6,
}
YARN: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 40.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}


def _config(**differences: Any) -> PretrainedConfig:
    return DeepseekV3Config(**(SHAPE | differences), architectures=ARCHITECTURES)


CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "deepseek-v3": _config(rope_parameters=YARN),
    "deepseek-v3-plain-queries": _config(q_lora_rank=None, n_shared_experts=2, norm_topk_prob=False),
    "deepseek-v3-ungrouped": _config(n_group=1, topk_group=1, first_k_dense_replace=0, tie_word_embeddings=True),
    "deepseek-v3-all-groups": _config(topk_group=4, first_k_dense_replace=3, routed_scaling_factor=1.0),
    "deepseek-v3-yarn-growths": _config(rope_parameters=YARN | {"mscale": 0.707, "mscale_all_dim": 1.3}),
    "deepseek-v3-yarn-plain": _config(
        rope_parameters={key: value for key, value in YARN.items() if not key.startswith("mscale")}
    ),
    "deepseek-v3-biases": _config(attention_bias=True, rope_interleave=False, rms_norm_eps=1e-3),
    "deepseek-v3-wide": _config(
        hidden_size=64,
        intermediate_size=96,
        moe_intermediate_size=32,
        kv_lora_rank=64,
        q_lora_rank=32,
        qk_nope_head_dim=32,
        qk_rope_head_dim=32,
        v_head_dim=32,
        rope_parameters=YARN,
    ),
}
