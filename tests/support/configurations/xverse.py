"""XVERSE, against a reference of our own from the published description."""

from __future__ import annotations

from transformers import PretrainedConfig

from tests.support.configurations.shapes import SHAPE
from tests.support.published import PublishedConfig

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "xverse": PublishedConfig(
        **{key: value for key, value in SHAPE.items() if key != "num_key_value_heads"},
        model_type="xverse",
        architectures=["XverseForCausalLM"],
        tie_word_embeddings=False,
    ),
}
