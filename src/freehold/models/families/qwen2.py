"""Qwen 2 and Qwen 2.5."""

from __future__ import annotations

from typing import Any

from freehold.checkpoints.base import Checkpoint
from freehold.models.config import ModelConfig
from freehold.models.decoder import Decoder
from freehold.models.fields import Fields
from freehold.models.translate import decoder_from_gguf, decoder_from_hugging_face, layer_count
from freehold.models.weights import WeightMap


class Qwen2(Decoder):
    """Llama's shape with biases on queries, keys and values, and optionally a window on the later layers."""

    model_type = "qwen2"
    gguf_architecture = "qwen2"
    weights = WeightMap()

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        layers = layer_count(fields)
        windows: tuple[int | None, ...] = (None,) * layers
        if fields.boolean("use_sliding_window", False) and fields.has("sliding_window"):
            full = fields.integer("max_window_layers", 28, least=0)
            window = fields.integer("sliding_window")
            windows = tuple(None if layer < full else window for layer in range(layers))
        return decoder_from_hugging_face(fields, ModelConfig, "Qwen2ForCausalLM", qkv_bias=True, windows=windows)

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> dict[str, Any]:
        window = config.windows[-1]
        return {
            "use_sliding_window": window is not None,
            "sliding_window": window,
            "max_window_layers": sum(one is None for one in config.windows),
        }

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        return decoder_from_gguf(fields, checkpoint, ModelConfig, "Qwen2ForCausalLM", qkv_bias=True)
