"""Writing a Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from freehold.checkpoints.atomic import atomic_file
from freehold.checkpoints.base import LazyTensor
from freehold.checkpoints.huggingface import CONFIG, INDEX, INDEX_SUFFIX, SINGLE, SUFFIX, file_names
from freehold.checkpoints.safetensors import write_safetensors
from freehold.errors import CheckpointError

DEFAULT_SHARD_BYTES = 5_000_000_000


def save_folder(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Sequence[LazyTensor],
    max_shard_bytes: int = DEFAULT_SHARD_BYTES,
) -> None:
    """Write config.json and the tensors, in one file or, beyond max_shard_bytes, in several with an index.

    Each file appears under its name when it is complete, config.json last. To make the whole folder appear at once,
    with other files in it, write it inside `atomic_folder`.

    Args:
        folder: made if it is absent; it may hold other files, but no weights.
        config: what config.json will say.
        max_shard_bytes: of tensors in one file; a single larger tensor gets a file of its own.

    Raises:
        CheckpointError: there are weights in the folder already, it cannot be written to, or a name occurs twice.
        UnsupportedTensorType: a tensor is stored in one of GGUF's block formats.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot make the folder {folder}: {error.strerror}") from error
    present = [name for name in file_names(folder) if name.endswith((SUFFIX, INDEX_SUFFIX))]
    if present:
        raise CheckpointError(f"{folder} already holds weights ({present[0]})", hint="choose another folder")
    shards = _split(tensors, max_shard_bytes)
    if len(shards) == 1:
        write_safetensors(folder / SINGLE, shards[0])
    else:
        _write_shards(folder, shards)
    _write_json(folder / CONFIG, config)


def _split(tensors: Sequence[LazyTensor], max_shard_bytes: int) -> list[list[LazyTensor]]:
    """Consecutive tensors, so many that each part stays within the limit; at least one part."""
    shards: list[list[LazyTensor]] = [[]]
    used = 0
    for tensor in tensors:
        if shards[-1] and used + tensor.info.bytes > max_shard_bytes:
            shards.append([])
            used = 0
        shards[-1].append(tensor)
        used += tensor.info.bytes
    return shards


def _write_shards(folder: Path, shards: Sequence[Sequence[LazyTensor]]) -> None:
    names = [f"model-{number:05}-of-{len(shards):05}{SUFFIX}" for number in range(1, len(shards) + 1)]
    weight_map: dict[str, str] = {}
    for name, shard in zip(names, shards, strict=True):
        for tensor in shard:
            if tensor.info.name in weight_map:
                raise CheckpointError(f"two tensors are called {tensor.info.name!r}")
            weight_map[tensor.info.name] = name
    for name, shard in zip(names, shards, strict=True):
        write_safetensors(folder / name, shard)
    total = sum(tensor.info.bytes for shard in shards for tensor in shard)
    _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with atomic_file(path) as file:
        file.write((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())
