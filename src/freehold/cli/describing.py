"""What there is to know about a model without loading its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from freehold.checkpoints import Checkpoint, Naming, open_checkpoint
from freehold.errors import InvalidRequest
from freehold.models import Decoder, family_of
from freehold.models.loading import locate, parameter_shapes
from freehold.models.network import Network
from freehold.models.weights import Location
from freehold.ops import create_ops
from freehold.ops.native.sizes import held_bytes
from freehold.store import list_models, resolve
from freehold.tensors import TensorType, WeightType

_CARD_LICENCE = re.compile(r"^license:\s*(\S+)\s*$", re.MULTILINE)
_CARD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Description:
    """A model and what it needs.

    Attributes:
        parameters: numbers that were trained.
        storage: share of the parameters in each storage type, the largest first.
        context: positions that the cache is counted for.
        weight_bytes, cache_bytes: memory on the native backend for the weights, and for one sequence of that context.
    """

    name: str
    path: Path
    architecture: str
    parameters: int
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    vocabulary: int
    context_length: int
    storage: dict[str, float]
    licence: str | None
    disk_bytes: int
    context: int
    weight_bytes: int
    cache_bytes: int


def describe(name: str, dtype: WeightType | None, context: int | None) -> Description:
    """Describe a model by name, folder or file.

    Args:
        dtype: what its weights would be held in; None as they are stored.
        context: how long a sequence the cache would be for; None takes the model's own context.

    Raises:
        InvalidRequest: the context is longer than the model's.
        FreeholdError: the model cannot be found, opened or run; it says why.
    """
    path = resolve(name)
    checkpoint = open_checkpoint(path)
    family, config = family_of(checkpoint)
    model = family(config, create_ops("native", exact=_is_exact(checkpoint, dtype)))
    locations = locate(model, checkpoint)  # a tensor too many, too few or misshapen is named here
    if context is not None and context > config.context_length:
        raise InvalidRequest(f"context is {context}; the model's is {config.context_length}", parameter="context")
    context = config.context_length if context is None else context
    stored = next((model for model in list_models() if model.path == path), None)
    return Description(
        name=name,
        path=path,
        architecture=config.architecture,
        parameters=sum(prod(shape) for shape in parameter_shapes(model).values()),
        layers=config.layers,
        hidden=config.hidden,
        heads=config.heads,
        kv_heads=config.kv_heads,
        vocabulary=config.vocabulary,
        context_length=config.context_length,
        storage=_storage(locations, checkpoint),
        licence=_licence(checkpoint) if stored is None else stored.licence,
        disk_bytes=_disk_bytes(checkpoint) if stored is None else stored.size,
        context=context,
        weight_bytes=_weight_bytes(model, locations, checkpoint, dtype),
        cache_bytes=context * model.cache_bytes_per_token() if isinstance(model, Decoder) else 0,
    )


def _weight_bytes(
    model: Network, locations: Mapping[str, Location], checkpoint: Checkpoint, dtype: WeightType | None
) -> int:
    total = 0
    for path, leaf in model.leaves():
        kind = leaf.held_as(dtype)
        for parameter in leaf.parameters():
            name = f"{path}.{parameter}"
            total += held_bytes(locations[name].info(checkpoint, name), kind)
    return total


def _storage(locations: Mapping[str, Location], checkpoint: Checkpoint) -> dict[str, float]:
    elements: dict[TensorType, int] = {}
    for parameter, location in locations.items():
        info = location.info(checkpoint, parameter)
        elements[info.type] = elements.get(info.type, 0) + info.elements
    total = sum(elements.values())
    return {kind.value: elements[kind] / total for kind in sorted(elements, key=lambda kind: -elements[kind])}


def _is_exact(checkpoint: Checkpoint, dtype: WeightType | None) -> bool:
    """Whether `freehold.load` would keep the cache in float32."""
    if dtype is not None:
        return dtype is WeightType.F32
    return all(info.type is TensorType.F32 for info in checkpoint.tensors.values())


def _licence(checkpoint: Checkpoint) -> str | None:
    """What GGUF metadata or the model card in the folder say."""
    if checkpoint.naming is Naming.GGUF:
        licence = checkpoint.config.get("general.license")
        return licence if isinstance(licence, str) else None
    card = checkpoint.path / "README.md"
    if not card.is_file():
        return None
    with card.open(encoding="utf-8", errors="replace") as file:
        match = _CARD_LICENCE.search(file.read(_CARD_BYTES))
    return match[1] if match else None


def _disk_bytes(checkpoint: Checkpoint) -> int:
    """Size of the folder's files, or of what a GGUF file and the further parts of its split hold."""
    if checkpoint.path.is_dir():
        return sum(file.stat().st_size for file in checkpoint.path.iterdir() if file.is_file())
    return max(checkpoint.path.stat().st_size, sum(info.bytes for info in checkpoint.tensors.values()))
