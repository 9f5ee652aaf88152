"""Gemma 2."""

from __future__ import annotations

from typing import Any

from transformers import Gemma2Config, PretrainedConfig

from tests.support.configurations.shapes import SHAPE

OWN: dict[str, Any] = {
    **SHAPE,
    "num_hidden_layers": 3,
    "head_dim": 10,
    "sliding_window": 9,
    "architectures": ["Gemma2ForCausalLM"],
}

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "gemma2": Gemma2Config(**OWN, query_pre_attn_scalar=10, attn_logit_softcapping=3.0, final_logit_softcapping=2.0),
    "gemma2-plain": Gemma2Config(
        **OWN, attn_logit_softcapping=None, final_logit_softcapping=None, query_pre_attn_scalar=37, attention_bias=True
    ),
    "gemma2-full": Gemma2Config(**OWN, layer_types=["full_attention"] * 3, tie_word_embeddings=False),
}
