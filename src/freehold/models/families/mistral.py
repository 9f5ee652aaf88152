"""Mistral 7B, Mistral Nemo, Mistral Small 3 and Mistral Large 2."""

from __future__ import annotations

from typing import Any

from freehold.models.config import ModelConfig
from freehold.models.families.llama import Llama
from freehold.models.fields import Fields
from freehold.models.translate import decoder_from_hugging_face, layer_count


class Mistral(Llama):
    """Llama's shape, with a sliding window on every layer where the configuration has one. GGUF calls it `llama`."""

    model_type = "mistral"

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        layers = layer_count(fields)
        window = fields.integer("sliding_window") if fields.has("sliding_window") else None
        return decoder_from_hugging_face(fields, ModelConfig, "MistralForCausalLM", windows=(window,) * layers)

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> dict[str, Any]:
        return {"sliding_window": config.windows[0]}
