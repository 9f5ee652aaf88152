"""GPT-OSS."""

from __future__ import annotations

from typing import Any

from transformers import GptOssConfig, PretrainedConfig

from tests.support.configurations.shapes import SHAPE

NAMES = ["GptOssForCausalLM"]
EXPERTS: dict[str, Any] = SHAPE | {
    "head_dim": 14,
    "num_hidden_layers": 3,
    "intermediate_size": 42,
    "num_local_experts": 6,
    "num_experts_per_tok": 3,
    "sliding_window": 9,
    "architectures": NAMES,
}
LONG = {"max_position_embeddings": 4096}
PLAIN_ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 150000.0}
# As released, but for the lengths: the ramp's ends fall between dimensions.
RELEASED_ROPE: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 30.0,
    "factor": 4.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 1024,
}
# A ramp over all dimensions, whose ends are whole whether they are made so or not.
WHOLE_ROPE = RELEASED_ROPE | {"rope_theta": 3.0, "original_max_position_embeddings": 64}

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "gpt-oss": GptOssConfig(**EXPERTS, rope_parameters=WHOLE_ROPE),
    "gpt-oss-plain-rope": GptOssConfig(**EXPERTS, rope_parameters=PLAIN_ROPE),
    "gpt-oss-released-rope": GptOssConfig(**EXPERTS | LONG, rope_parameters=RELEASED_ROPE),
    "gpt-oss-truncated-rope": GptOssConfig(**EXPERTS | LONG, rope_parameters=RELEASED_ROPE | {"truncate": True}),
    "gpt-oss-full": GptOssConfig(**EXPERTS, layer_types=["full_attention"] * 3, rope_parameters=PLAIN_ROPE),
    "gpt-oss-limit": GptOssConfig(
        **EXPERTS,
        layer_types=["full_attention"] + ["sliding_attention"] * 2,
        swiglu_limit=0.4,
        rope_parameters=WHOLE_ROPE,
    ),
    "gpt-oss-no-biases": GptOssConfig(
        **EXPERTS, attention_bias=False, tie_word_embeddings=True, rope_parameters=PLAIN_ROPE
    ),
    # Rows of whole quantised blocks, so that other programs can quantise it; every expert is chosen, so that rounding
    # cannot choose others.
    "gpt-oss-wide": GptOssConfig(
        **EXPERTS | {"hidden_size": 96, "intermediate_size": 64, "head_dim": 16, "num_experts_per_tok": 6},
        rope_parameters=WHOLE_ROPE,
    ),
}
