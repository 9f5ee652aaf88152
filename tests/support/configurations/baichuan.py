"""Baichuan, against a reference of our own from the published descriptions."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from tests.support.configurations.shapes import SHAPE
from tests.support.published import PublishedConfig

OWN: dict[str, Any] = {
    **{key: value for key, value in SHAPE.items() if key not in ("num_key_value_heads", "max_position_embeddings")},
    "model_type": "baichuan",
    "architectures": ["BaichuanForCausalLM"],
    "tie_word_embeddings": False,
}

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "baichuan-7b": PublishedConfig(("packed",), **OWN, max_position_embeddings=256),
    # GGUF knows a model's positions by its number of layers.
    "baichuan-7b-deep": PublishedConfig(("packed",), **OWN | {"num_hidden_layers": 32}, max_position_embeddings=256),
    "baichuan-13b": PublishedConfig(("packed", "alibi"), **OWN, model_max_length=256),
    "baichuan-13b-deep": PublishedConfig(
        ("packed", "alibi"),
        **OWN | {"num_hidden_layers": 40, "hidden_size": 24, "num_attention_heads": 3},
        model_max_length=256,
    ),
    "baichuan2-7b": PublishedConfig(
        ("packed", "normalised"), **OWN | {"vocab_size": 125696, "hidden_size": 24}, max_position_embeddings=256
    ),
}
