"""Qwen 2 and 2.5."""

from __future__ import annotations

from transformers import PretrainedConfig, Qwen2Config

from tests.support.configurations.shapes import SHAPE, YARN_ROPE

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "qwen2": Qwen2Config(**SHAPE, tie_word_embeddings=True, architectures=["Qwen2ForCausalLM"]),
    "qwen2-window": Qwen2Config(
        **SHAPE, use_sliding_window=True, sliding_window=7, max_window_layers=1, architectures=["Qwen2ForCausalLM"]
    ),
    "qwen2-yarn": Qwen2Config(**SHAPE, rope_parameters=YARN_ROPE, architectures=["Qwen2ForCausalLM"]),
}
