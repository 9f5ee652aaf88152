"""A model's weights from outside: random ones to begin training with, and what a training run has made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from freehold.checkpoints.base import MemoryCheckpoint, Naming
from freehold.models.blocks import Linear
from freehold.models.decoder import Decoder
from freehold.models.loading import outline, parameter_shapes
from freehold.models.network import Network
from freehold.tensors import Tensor

if TYPE_CHECKING:
    import torch

    from freehold.ops.torch.weights import TorchLinear

INITIAL_DEVIATION = 0.02


def initial_checkpoint(config: Mapping[str, Any], seed: int) -> MemoryCheckpoint:
    """Random weights for a config.json, as GPT-2 drew them (Radford et al. 2019).

    Matrices are normal with deviation 0.02, the ones that write into the residual stream divided by sqrt(2 layers);
    norms are 1 and biases 0.
    """
    empty = MemoryCheckpoint(config, {})
    model = outline(empty)
    generator = np.random.default_rng(seed)
    contents = {}
    for parameter, shape in parameter_shapes(model).items():
        if parameter.endswith(".bias"):
            values = np.zeros(shape, np.float32)
        elif len(shape) == 1:
            values = np.ones(shape, np.float32)
        else:
            writes_residual = parameter.endswith((".output.weight", ".down.weight"))
            deviation = INITIAL_DEVIATION / (np.sqrt(2 * model.config.layers) if writes_residual else 1.0)
            values = (generator.standard_normal(shape, np.float32) * np.float32(deviation)).astype(np.float32)
        contents[parameter] = Tensor.from_array(parameter, values)
    return replace(empty, contents=_under_their_names(model, contents))


def _under_their_names(model: Network, contents: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Hugging Face's tensors made of ours."""
    tensors = model.weights.tensors(Naming.HUGGING_FACE, model.config, parameter_shapes(model))
    return {tensor.name: tensor.assemble(contents.__getitem__) for tensor in tensors}


def trainable(model: Decoder) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a model on the torch backend, by leaf name: what an optimiser takes."""
    for path, leaf in model.leaves():
        if isinstance(leaf, Linear):
            packed: TorchLinear = leaf.weight
            yield f"{path}.weight", packed.weight
            if packed.bias is not None:
                yield f"{path}.bias", packed.bias
        elif leaf.parameters():
            yield f"{path}.weight", cast("Any", leaf).weight


def snapshot(model: Decoder, config: Mapping[str, Any]) -> MemoryCheckpoint:
    """The weights of a model on the torch backend as a float32 checkpoint under Hugging Face's names.

    Args:
        config: the config.json that goes with them.
    """
    values = {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in trainable(model)}
    contents = {}
    for path, leaf in model.leaves():
        offset = {"weight": 0, "bias": 0}
        for name, shape in leaf.parameters().items():
            kind = name.rpartition(".")[2]
            rows = values[f"{path}.{kind}"][offset[kind] : offset[kind] + shape[0]]
            offset[kind] += shape[0]
            contents[f"{path}.{name}"] = Tensor.from_array(f"{path}.{name}", rows)
    return MemoryCheckpoint(config, _under_their_names(model, contents))
