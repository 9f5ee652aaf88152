"""Tiny random models made by transformers, which is the reference that parity is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from freehold.checkpoints import open_checkpoint
from freehold.checkpoints.base import MemoryCheckpoint
from tests.support.configurations import CONFIGURATIONS
from tests.support.configurations.shapes import SHAPE
from tests.support.published import PublishedConfig, PublishedDecoder

__all__ = [
    "CONFIGURATIONS",
    "SHAPE",
    "checkpoint_of",
    "reference",
    "reference_logits",
    "relative_error",
    "with_wide_weights",
]


def reference(configuration: PretrainedConfig, seed: int = 0) -> PreTrainedModel:
    """A float32 model with weights wide enough that every part of it shows in the logits."""
    torch.manual_seed(seed)
    configuration = deepcopy(configuration)
    if isinstance(configuration, PublishedConfig):
        published: Any = PublishedDecoder(configuration)
        return with_wide_weights(published.eval())
    build: Any = AutoModelForCausalLM.from_config  # transformers leaves it without types
    # Falcon's eager attention adds the ALiBi bias twice in this version, once of it with the mask.
    attention = "sdpa" if getattr(configuration, "alibi", False) else "eager"
    model: PreTrainedModel = build(configuration, attn_implementation=attention, experts_implementation="eager").eval()
    return with_wide_weights(model)


def with_wide_weights(model: PreTrainedModel) -> PreTrainedModel:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            deviation = 0.2 if parameter.ndim == 2 else 0.3
            parameter.normal_(1.0 if "norm" in name else 0.0, deviation)
        saved = model.state_dict()
        for name, buffer in model.named_buffers():
            if name in saved:  # such as DeepSeek's biases in choosing experts
                buffer.normal_(0.0, 0.3)
    return model


def checkpoint_of(model: PreTrainedModel) -> MemoryCheckpoint:
    """The model as transformers writes it to a folder: with the names of released checkpoints."""
    architectures = model.config.architectures  # saving puts the class's name in their place
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        opened = open_checkpoint(Path(folder))
        contents = {name: replace(opened.read(name), data=opened.read(name).data.copy()) for name in opened.tensors}
        return MemoryCheckpoint({**opened.config, "architectures": architectures}, contents)


def reference_logits(model: PreTrainedModel, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
    """Logits of every position of every sequence, each computed alone: [tokens, vocabulary]."""
    with torch.no_grad():
        rows = [model(torch.tensor([list(sequence)])).logits[0].numpy() for sequence in sequences]
    return np.concatenate(rows)


def relative_error(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Largest difference, relative to the largest expected value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
