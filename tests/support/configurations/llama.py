"""Llama 2, 3 and 3.1."""

from __future__ import annotations

from transformers import LlamaConfig, PretrainedConfig

from tests.support.configurations.shapes import LLAMA3_ROPE, SHAPE

CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**SHAPE, architectures=["LlamaForCausalLM"]),
    "llama-3.1-rope": LlamaConfig(**SHAPE, rope_parameters=LLAMA3_ROPE, architectures=["LlamaForCausalLM"]),
    "llama-linear-rope": LlamaConfig(
        **SHAPE,
        rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
        architectures=["LlamaForCausalLM"],
    ),
    "llama-biases": LlamaConfig(
        **SHAPE, attention_bias=True, mlp_bias=True, tie_word_embeddings=True, architectures=["LlamaForCausalLM"]
    ),
    "llama-head-dim": LlamaConfig(**SHAPE, head_dim=22, architectures=["LlamaForCausalLM"]),
    # Rows of whole quantised blocks, so that other programs can quantise it.
    "llama-wide": LlamaConfig(
        **SHAPE | {"hidden_size": 96, "intermediate_size": 128}, architectures=["LlamaForCausalLM"]
    ),
}
