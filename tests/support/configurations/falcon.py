"""Falcon. ALiBi in transformers rounds slope * position to bfloat16; powers of two and short sequences stay exact."""

from __future__ import annotations

from typing import Any

from transformers import FalconConfig, PretrainedConfig

from tests.support.configurations.shapes import SHAPE

OWN: dict[str, Any] = {
    **{key: SHAPE[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")},
    "max_position_embeddings": 256,
    "architectures": ["FalconForCausalLM"],
}

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "falcon-multi-query": FalconConfig(**OWN),
    "falcon-grouped": FalconConfig(**OWN, new_decoder_architecture=True, num_kv_heads=2, ffn_hidden_size=106),
    "falcon-grouped-one-norm": FalconConfig(
        **OWN, new_decoder_architecture=True, num_kv_heads=3, num_ln_in_parallel_attn=1, tie_word_embeddings=False
    ),
    "falcon-alibi": FalconConfig(
        **OWN | {"num_attention_heads": 4, "hidden_size": 64},
        alibi=True,
        multi_query=False,
        parallel_attn=False,
        bias=True,
    ),
    "falcon-sequential": FalconConfig(**OWN, parallel_attn=False),
}
