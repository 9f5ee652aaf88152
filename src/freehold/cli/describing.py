"""What there is to know about a model without loading its weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from freehold.checkpoints import Checkpoint, Naming, open_checkpoint
from freehold.errors import InvalidRequest
from freehold.fitting import Cache, Subject, parameters, subject_in, weight_bytes
from freehold.ops.base import CacheType
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


def describe(name: str, dtype: WeightType | None, cache_type: CacheType | None, context: int | None) -> Description:
    """Describe a model by name, folder or file.

    Args:
        dtype: what its weights would be held in; None as they are stored.
        cache_type: what keys and values would be held in; None for what goes with the weights.
        context: how long a sequence the cache would be for; None takes the model's own context.

    Raises:
        InvalidRequest: the context is longer than the model's.
        FreeholdError: the model cannot be found, opened or run; it says why.
    """
    path = resolve(name)
    checkpoint = open_checkpoint(path)
    stored = next((model for model in list_models() if model.path == path), None)
    subject = subject_in(name, checkpoint, _licence(checkpoint) if stored is None else stored.licence)
    config = subject.model.config
    if context is not None and context > config.context_length:
        raise InvalidRequest(f"context is {context}; the model's is {config.context_length}", parameter="context")
    context = config.context_length if context is None else context
    return Description(
        name=name,
        path=path,
        architecture=config.architecture,
        parameters=parameters(subject.parts),
        layers=config.layers,
        hidden=config.hidden,
        heads=config.heads,
        kv_heads=config.kv_heads,
        vocabulary=config.vocabulary,
        context_length=config.context_length,
        storage=_storage(subject),
        licence=subject.licence,
        disk_bytes=_disk_bytes(checkpoint) if stored is None else stored.size,
        context=context,
        weight_bytes=weight_bytes(subject.parts, subject.stored, dtype),
        cache_bytes=context * Cache.of(subject, dtype, cache_type).bytes_per_token,
    )


def _storage(subject: Subject) -> dict[str, float]:
    elements: dict[TensorType, int] = {}
    for part in subject.parts:
        kind = subject.stored(part.parameter).type
        elements[kind] = elements.get(kind, 0) + part.parameters
    total = sum(elements.values())
    return {kind.value: elements[kind] / total for kind in sorted(elements, key=lambda kind: -elements[kind])}


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
