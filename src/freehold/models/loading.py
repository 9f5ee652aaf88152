"""From a checkpoint to a model that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from freehold.checkpoints.base import Checkpoint, Naming
from freehold.models.blocks import Source
from freehold.models.decoder import Decoder
from freehold.models.registry import family_of
from freehold.models.weights import halves_from_pairs, match_tensors
from freehold.ops.base import Ops
from freehold.tensors import Tensor, WeightType

# Called after each packed weight with how many are done and how many there are.
Progress = Callable[[int, int], None]


def load_model(
    checkpoint: Checkpoint, ops: Ops, dtype: WeightType | None = None, progress: Progress | None = None
) -> Decoder:
    """Build the model that a checkpoint describes and fill it.

    Everything is checked by name and shape before the first tensor is read.

    Args:
        dtype: what to hold the linear weights in; None keeps what the checkpoint stores.

    Raises:
        ConfigError, WeightMapError, CheckpointError: the checkpoint is not one we can run; each names what is wrong.
    """
    family, config = family_of(checkpoint)
    model = family(config, ops)
    source = parameter_source(model, checkpoint)
    leaves = list(model.leaves())
    for done, (path, leaf) in enumerate(leaves, start=1):
        leaf.load(ops, _below(path, source), dtype)
        if progress is not None:
            progress(done, len(leaves))
    return model


def outline(checkpoint: Checkpoint) -> Decoder:
    """The model that a checkpoint describes, for its names and shapes only: without weights, and without operations."""
    family, config = family_of(checkpoint)
    return family(config, cast(Ops, None))


def parameter_source(model: Decoder, checkpoint: Checkpoint) -> Source:
    """Reads parameters by our names, rows in our order, from a checkpoint that was checked to fit the model."""
    names = match_tensors(model.weights, parameter_shapes(model), checkpoint, tied=model.config.tied_embeddings)

    def read(parameter: str) -> Tensor:
        tensor = checkpoint.read(names[parameter])
        if checkpoint.naming is Naming.GGUF and model.weights.is_interleaved(parameter):
            return tensor.take_rows(halves_from_pairs(tensor.info.shape[0], model.config.head_dim))
        return tensor

    return read


def parameter_shapes(model: Decoder) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter of the model, by our names."""
    return {f"{path}.{name}": shape for path, leaf in model.leaves() for name, shape in leaf.parameters().items()}


def _below(path: str, source: Source) -> Source:
    return lambda name: source(f"{path}.{name}")
