"""What every family is: a tree of weights with a configuration, and the words of others for both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from freehold.checkpoints.base import Checkpoint
from freehold.models.blocks import Module
from freehold.models.config import ModelConfig
from freehold.models.fields import Fields
from freehold.models.weights import WeightMap
from freehold.ops.base import Ops


class Network(Module, ABC):
    """A model of some family.

    Attributes:
        model_type: Hugging Face's short name for the family.
        gguf_architecture: GGUF's name for it; None where GGUF does not know it.
        gguf_yarn_truncates: whether YaRN's ramp begins and ends at whole dimensions in this family's GGUF files, which
            do not say so themselves.
        weights: the family's weight map.
        released_code: values of `auto_map` in released configurations whose code this family stands in for. That code
            is never run; a folder that names any other is refused.
        config: shape of this model.
        ops: the operations it runs on.
    """

    model_type: ClassVar[str]
    gguf_architecture: ClassVar[str | None]
    gguf_yarn_truncates: ClassVar[bool] = True
    weights: ClassVar[WeightMap]
    released_code: ClassVar[frozenset[str]] = frozenset()

    config: ModelConfig
    ops: Ops

    @abstractmethod
    def __init__(self, config: ModelConfig, ops: Ops): ...

    @classmethod
    @abstractmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        """Our configuration from config.json."""

    @classmethod
    @abstractmethod
    def to_hugging_face(cls, config: ModelConfig) -> Mapping[str, Any]:
        """What config.json says of this family beyond, or other than, `describe.to_hugging_face`; None for one of its
        keys leaves that out."""

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        """Our configuration from GGUF metadata. Families that GGUF does not know have no need of it."""
        raise NotImplementedError(f"GGUF does not know {cls.__name__}")

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> Mapping[str, Any]:
        """What GGUF metadata say beyond, or other than, `describe.to_gguf`; keys without the architecture's prefix,
        but those of the tokenizer as they are."""
        return {}
