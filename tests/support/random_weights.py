"""Checkpoints of random weights for any configuration, named as Hugging Face names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from freehold.checkpoints.base import MemoryCheckpoint, Naming
from freehold.models.loading import outline, parameter_shapes
from freehold.tensors import Tensor


def random_checkpoint(config: Mapping[str, Any], seed: int = 0) -> MemoryCheckpoint:
    """A checkpoint of what config.json describes; matrices vary by 0.3, small weights by 0.1 around 0."""
    model = outline(MemoryCheckpoint(config, {}))
    draw = np.random.default_rng(seed)
    contents = {}
    for tensor in model.weights.tensors(Naming.HUGGING_FACE, model.config, parameter_shapes(model)):
        values = draw.normal(0, 0.3 if len(tensor.shape) > 1 else 0.1, tensor.shape).astype(np.float32)
        contents[tensor.name] = Tensor.from_array(tensor.name, values)
    return MemoryCheckpoint(config, contents)
