"""A real model with random weights: what it says is nonsense, but the engine that says it is the real one."""

from __future__ import annotations

import numpy as np

from freehold.api import Model
from freehold.checkpoints.base import MemoryCheckpoint
from freehold.engine.types import EngineOptions
from freehold.models import load_model
from freehold.ops import create_ops
from freehold.tensors import Tensor
from freehold.text import ChatTemplate, Text
from tests.server.fake_engine import VOCABULARY, byte_tokenizer

HIDDEN, INTERMEDIATE, LAYERS, HEADS, KV_HEADS = 32, 48, 2, 4, 2
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "


def tiny_checkpoint(*, context_length: int) -> MemoryCheckpoint:
    """A Llama of two layers with seeded random weights."""
    source = np.random.default_rng(7)
    keys = HIDDEN // HEADS * KV_HEADS
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}
    for layer in range(LAYERS):
        block = f"model.layers.{layer}"
        for name, rows in (("q", HIDDEN), ("k", keys), ("v", keys), ("o", HIDDEN)):
            shapes[f"{block}.self_attn.{name}_proj.weight"] = (rows, HIDDEN)
        shapes[f"{block}.mlp.gate_proj.weight"] = (INTERMEDIATE, HIDDEN)
        shapes[f"{block}.mlp.up_proj.weight"] = (INTERMEDIATE, HIDDEN)
        shapes[f"{block}.mlp.down_proj.weight"] = (HIDDEN, INTERMEDIATE)
        shapes[f"{block}.input_layernorm.weight"] = (HIDDEN,)
        shapes[f"{block}.post_attention_layernorm.weight"] = (HIDDEN,)
    shapes["model.norm.weight"] = (HIDDEN,)
    tensors = {
        name: Tensor.from_array(name, source.normal(float(len(shape) == 1), 0.3, shape).astype(np.float32))
        for name, shape in shapes.items()
    }
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "vocab_size": VOCABULARY, "max_position_embeddings": context_length,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True,
    }  # fmt: skip
    return MemoryCheckpoint(config, tensors)


def tiny_model(options: EngineOptions | None = None) -> Model:
    """The model with a byte tokenizer and a template of a line per message."""
    checkpoint = tiny_checkpoint(context_length=512)
    decoder = load_model(checkpoint, create_ops("native", exact=True))
    return Model("tiny", decoder, Text(byte_tokenizer(), ChatTemplate(TEMPLATE)), options=options)
