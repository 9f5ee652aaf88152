"""From a checkpoint to a model that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, cast

from freehold.checkpoints.base import Checkpoint
from freehold.errors import ConfigError
from freehold.models.blocks import Source
from freehold.models.blocks.leaf import PackedLeaf
from freehold.models.decoder import Decoder
from freehold.models.network import Network
from freehold.models.registry import family_of
from freehold.models.weights import Location, match_tensors
from freehold.ops.base import Ops
from freehold.tensors import Tensor, WeightType

# Called after each packed weight with how many are done and how many there are.
Progress = Callable[[int, int], None]


class PackedWeights(Protocol):
    """Where packed weights are kept between one start and the next."""

    def weight(self, name: str, parameters: Mapping[str, tuple[int, ...]], pack: Callable[[], Any]) -> Any:
        """The weight that a leaf of that name makes of these parameters: as it was kept, or else as `pack` makes it."""
        ...


def load_model(
    checkpoint: Checkpoint, ops: Ops, dtype: WeightType | None = None, progress: Progress | None = None
) -> Decoder:
    """Build the language model that a checkpoint describes and fill it.

    Everything is checked by name and shape before the first tensor is read.

    Args:
        dtype: what to hold the linear weights in; None keeps what the checkpoint stores.

    Raises:
        ConfigError, WeightMapError, CheckpointError: the checkpoint is not one we can run; each names what is wrong.
    """
    model = load_network(checkpoint, ops, dtype, progress)
    if not isinstance(model, Decoder):
        raise ConfigError(f"{checkpoint.path.name}: {model.config.architecture} does not write text")
    return model


def load_network(
    checkpoint: Checkpoint,
    ops: Ops,
    dtype: WeightType | None = None,
    progress: Progress | None = None,
    packed: PackedWeights | None = None,
) -> Network:
    """As `load_model`, for a model of any kind.

    Args:
        packed: where packed weights are kept, for `ops` and `dtype`; None packs all of them.
    """
    family, config = family_of(checkpoint)
    model = family(config, ops)
    source = parameter_source(model, checkpoint)
    leaves = list(model.leaves())
    for done, (path, leaf) in enumerate(leaves, start=1):
        load = partial(leaf.load, ops, _below(path, source), dtype)
        if packed is not None and isinstance(leaf, PackedLeaf):
            leaf.weight = packed.weight(path, leaf.parameters(), partial(_packed, leaf, load))
        else:
            load()
        for file in checkpoint.files:
            file.release()
        if progress is not None:
            progress(done, len(leaves))
    return model


def _packed(leaf: PackedLeaf, load: Callable[[], None]) -> Any:
    load()
    return leaf.weight


def outline(checkpoint: Checkpoint) -> Network:
    """The model that a checkpoint describes, for its names and shapes only: without weights, and without operations."""
    family, config = family_of(checkpoint)
    return family(config, cast(Ops, None))


def locate(model: Network, checkpoint: Checkpoint) -> dict[str, Location]:
    """Where each of a model's parameters lies, after checking that the checkpoint fits the model."""
    return match_tensors(model.weights, model.config, parameter_shapes(model), checkpoint)


def parameter_source(model: Network, checkpoint: Checkpoint) -> Source:
    """Reads parameters by our names, rows in our order, from a checkpoint that was checked to fit the model."""
    locations = locate(model, checkpoint)

    def read(parameter: str) -> Tensor:
        return locations[parameter].read(checkpoint, parameter)

    return read


def parameter_shapes(model: Network) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter of the model, by our names."""
    return {f"{path}.{name}": shape for path, leaf in model.leaves() for name, shape in leaf.parameters().items()}


def _below(path: str, source: Source) -> Source:
    return lambda name: source(f"{path}.{name}")
