"""The shape of the model and the course of its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recipes.pebble.tokenizer import CONTEXT, SPECIAL_TOKENS, VOCABULARY


@dataclass(frozen=True)
class Shape:
    """The shape of the model: about 3.4 million parameters, which is 6.8 MB in float16."""

    hidden: int = 256
    intermediate: int = 640
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4

    def config(self) -> dict[str, Any]:
        """The config.json of a Hugging Face folder."""
        begin, end = SPECIAL_TOKENS.index("<|begin|>"), SPECIAL_TOKENS.index("<|end|>")
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": VOCABULARY,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.hidden // self.heads,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "bos_token_id": begin,
            "eos_token_id": end,
            "pad_token_id": end,
            "torch_dtype": "float16",
        }


@dataclass(frozen=True)
class Course:
    """The course of a training run.

    Attributes:
        steps: optimiser steps.
        batch: conversations a step.
        gain: the initial matrices of the blocks are multiplied by this, since 0.02 is meant for wider models.
        message_weight: how much predicting a token of a message counts; one of an answer counts 1.
        learning_rate: the highest; reached after `warm_up` steps, then a cosine down to a twentieth of it.
        weight_decay: on the matrices of the blocks.
        gradient_norm: gradients are clipped to this.
        evaluate_every: steps between evaluations, each of which also writes a checkpoint.
        evaluated: examples of each kind an evaluation uses.
        seed: of the initial weights and of the data.
    """

    steps: int = 8000
    batch: int = 24
    gain: float = 3.0
    message_weight: float = 0.2
    learning_rate: float = 3e-3
    warm_up: int = 100
    weight_decay: float = 0.05
    gradient_norm: float = 1.0
    evaluate_every: int = 500
    evaluated: int = 300
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "warm_up", "evaluate_every", "evaluated"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
