"""Checkpoints of which only the words matter, not the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from freehold.checkpoints.base import MemoryCheckpoint, Naming
from freehold.errors import ConfigError
from freehold.models import ModelConfig, family_of
from freehold.models.describe import to_gguf
from freehold.models.loading import outline, parameter_shapes
from freehold.tensors import Tensor
from tests.support.assets import asset
from tests.support.tiny import CONFIGURATIONS


def released(name: str) -> dict[str, Any]:
    """A released config.json."""
    values: dict[str, Any] = json.loads(asset(f"configs/{name}").read_text())
    return values


def translate(values: Mapping[str, Any]) -> ModelConfig:
    """Our configuration from a config.json."""
    return family_of(MemoryCheckpoint(values, {}))[1]


def tiny(name: str) -> ModelConfig:
    """Our configuration of a tiny model."""
    return translate(CONFIGURATIONS[name].to_dict())


def gguf_words(config: ModelConfig, **changes: object) -> dict[str, Any]:
    """GGUF metadata of a configuration; changes are keys without the prefix, "__" for each dot, None to leave out."""
    words = to_gguf(config, "test")
    for key, value in changes.items():
        words[f"{words['general.architecture']}.{key.replace('__', '.')}"] = value
    return {key: value for key, value in words.items() if value is not None}


def reread(words: Mapping[str, Any], config: ModelConfig) -> ModelConfig:
    """Our configuration from GGUF metadata, for a model of that configuration's shape."""
    table = np.zeros((config.vocabulary, config.hidden), np.float32)
    names = ["token_embd.weight"] + ([] if config.tied_embeddings else ["output.weight"])
    contents = {name: Tensor.from_array(name, table) for name in names}
    return family_of(MemoryCheckpoint(words, contents, Naming.GGUF))[1]


def tensor_names(values: Mapping[str, Any], naming: Naming, present: list[str] | None = None) -> set[str]:
    """The tensors that a model of that config.json reads, or writes where `present` is None."""
    model = outline(MemoryCheckpoint(values, {}))
    return {tensor.name for tensor in model.weights.tensors(naming, model.config, parameter_shapes(model), present)}


def gguf_can_say(name: str) -> bool:
    """Whether GGUF has words for a tiny configuration; `export` refuses the others by name."""
    _, config = family_of(MemoryCheckpoint(CONFIGURATIONS[name].to_dict(), {}))
    try:
        to_gguf(config, name)
    except ConfigError:
        return False
    return True
