"""Tiny models with random weights on the native backend, requests of every kind to them, and their results as bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from freehold.checkpoints import open_checkpoint
from freehold.checkpoints.base import Checkpoint
from freehold.engine.types import GenerationRequest, SamplingOptions, StopOptions, TokenOutput
from freehold.models import Decoder, load_model
from freehold.ops import create_ops
from freehold.ops.base import CacheType
from freehold.tensors import WeightType
from tests.support.random_weights import random_checkpoint
from tests.support.tiny_folder import write_tiny_model

SHARED = tuple(range(100, 140))
# Two layers of linear attention for each of full attention, and experts.
LINEAR = {
    "architectures": ["Qwen3_5MoeForCausalLM"],
    "vocab_size": 261,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "full_attention_interval": 3,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 12,
    "linear_conv_kernel_dim": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 16,
    "max_position_embeddings": 256,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
}
# A latent for each position instead of keys and values, and experts in groups.
LATENT = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "vocab_size": 261,
    "hidden_size": 32,
    "intermediate_size": 48,
    "moe_intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "q_lora_rank": 20,
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 12,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 2.5,
    "max_position_embeddings": 256,
}
# Chunks in three layers of four, a temperature in the fourth, and a single expert beside the shared one.
CHUNKS = {
    "architectures": ["Llama4ForCausalLM"],
    "vocab_size": 261,
    "hidden_size": 32,
    "intermediate_size": 24,
    "intermediate_size_mlp": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "num_local_experts": 4,
    "num_experts_per_tok": 1,
    "interleave_moe_layer_step": 2,
    "attention_chunk_size": 24,
    "floor_scale": 16,
    "max_position_embeddings": 256,
}
CONFIGURATIONS = {"linear": LINEAR, "latent": LATENT, "chunks": CHUNKS}


def make_requests() -> list[GenerationRequest]:
    """Sixteen with prompts of 3 to 93 tokens, some of which begin alike, and every way to sample."""
    random = np.random.default_rng(7)
    options = [
        SamplingOptions(temperature=0.0),
        SamplingOptions(temperature=0.8, top_k=20, top_p=0.95),
        SamplingOptions(min_p=0.05, repetition_penalty=1.2),
        SamplingOptions(temperature=1.5, presence_penalty=0.5, frequency_penalty=0.2, logit_bias={5: 3.0}),
    ]
    requests = []
    for number in range(16):
        prompt = tuple(random.integers(0, 256, 3 + 6 * number).tolist())
        requests.append(
            GenerationRequest(
                prompt=SHARED + prompt[:20] if number % 3 == 0 else prompt,
                sampling=replace(options[number % 4], seed=number, logprobs=3),
                stop=StopOptions(max_tokens=9 + number),
            )
        )
    return requests


# What weights are held in, and keys and values where that is not what goes with the weights.
MODELS: dict[str, tuple[WeightType, CacheType | None]] = {
    "llama-q4": (WeightType.Q4, None),
    "llama-q8": (WeightType.Q8, None),
    "llama-f32": (WeightType.F32, None),
    "linear-q8": (WeightType.Q8, None),
    "linear-f32": (WeightType.F32, None),
    "latent-q8": (WeightType.Q8, None),
    "chunks-q8": (WeightType.Q8, None),
    "llama-q4-codes": (WeightType.Q4, "q8"),
    "linear-q8-codes": (WeightType.Q8, "q8"),
    "latent-q8-codes": (WeightType.Q8, "q8"),
    "chunks-q8-codes": (WeightType.Q8, "q8"),
}


def make_model(name: str, folder: Path) -> Decoder:
    """One of MODELS; a folder that is not there yet may be written to."""
    dtype, cache_type = MODELS[name]
    checkpoint: Checkpoint
    if name.startswith("llama"):
        checkpoint = open_checkpoint(write_tiny_model(folder))
    else:
        checkpoint = random_checkpoint(CONFIGURATIONS[name.partition("-")[0]])
    ops = create_ops("native", exact=dtype is WeightType.F32, cache_type=cache_type)
    return load_model(checkpoint, ops, dtype)


def as_bytes(tokens: Sequence[TokenOutput]) -> bytes:
    """Ids and log-probabilities, bit by bit."""
    parts = []
    for token in tokens:
        assert token.logprob is not None
        parts.append(struct.pack("<id", token.token_id, token.logprob))
        parts.extend(struct.pack("<id", *pair) for pair in token.top)
    return b"".join(parts)
