"""XVERSE 7B, 13B and 65B."""

from __future__ import annotations

from dataclasses import replace

from freehold.checkpoints.base import Checkpoint
from freehold.models.config import ModelConfig
from freehold.models.families.llama import Llama
from freehold.models.fields import Fields


class Xverse(Llama):
    """Llama under another name."""

    model_type = "xverse"
    gguf_architecture = "xverse"
    released_code = frozenset(
        {
            "configuration_xverse.XverseConfig",
            "modeling_xverse.XverseModel",
            "modeling_xverse.XverseForCausalLM",
        }
    )

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        return replace(super().from_hugging_face(fields), architecture="XverseForCausalLM")

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        return replace(super().from_gguf(fields, checkpoint), architecture="XverseForCausalLM")
