"""From a path to a checkpoint, whatever kind lies there."""

from __future__ import annotations

import os
from pathlib import Path

from freehold.checkpoints.base import Checkpoint
from freehold.checkpoints.gguf import GgufCheckpoint
from freehold.checkpoints.gguf.checkpoint import SPLIT_NAME
from freehold.checkpoints.huggingface import (
    INDEX_SUFFIX,
    PICKLE_SUFFIXES,
    SHARD,
    SUFFIX,
    HuggingFaceCheckpoint,
    file_names,
    listed,
)
from freehold.checkpoints.quantised import as_a_model_sees_it
from freehold.errors import CheckpointError

GGUF_SUFFIX = ".gguf"


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a model's weights and configuration.

    Args:
        path: a Hugging Face folder, a folder with one GGUF model and nothing else to choose from, a GGUF file (the
            first part, if it is split), or a .safetensors file with config.json beside it.

    Raises:
        CheckpointError: nothing we can open lies there, or it is truncated, damaged or hostile.
        ConfigError: its weights are quantised in a way that we do not read.
        UnsupportedTensorType: a tensor of a GGUF file is stored in a type that we do not know.
    """
    if not os.path.exists(path):
        raise CheckpointError(f"{path} does not exist", hint="check the spelling of the path")
    if path.is_dir():
        return _open_folder(path)
    if path.suffix == GGUF_SUFFIX:
        return GgufCheckpoint(path)
    if path.suffix == SUFFIX:
        return _open_safetensors(path)
    if path.suffix in PICKLE_SUFFIXES:
        raise CheckpointError(
            f"{path} may be a pickle",
            hint="a pickle can run code when it is opened, so Freehold never does; get a safetensors or GGUF version",
        )
    raise CheckpointError(
        f"{path} is of an unknown kind: {path.suffix or 'it has no suffix'}",
        hint=f"give a model's folder, a {GGUF_SUFFIX} file or a {SUFFIX} file",
    )


def _open_folder(folder: Path) -> Checkpoint:
    names = file_names(folder)
    gguf = [name for name in names if name.endswith(GGUF_SUFFIX)]
    if not gguf or any(name.endswith((SUFFIX, INDEX_SUFFIX)) for name in names):
        return as_a_model_sees_it(HuggingFaceCheckpoint(folder))
    first_parts = [name for name in gguf if _part_number(name) == 1]
    if len(first_parts) != 1:
        raise CheckpointError(
            f"{folder} has several GGUF models: {listed(first_parts)}"
            if first_parts
            else f"{folder} has only later parts of a split GGUF model: {listed(gguf)}",
            hint="give the path of the file that you want" if first_parts else "download the first part too",
        )
    return GgufCheckpoint(folder / first_parts[0])


def _part_number(name: str) -> int:
    match = SPLIT_NAME.fullmatch(name)
    return int(match["number"]) if match else 1


def _open_safetensors(path: Path) -> Checkpoint:
    match = SHARD.fullmatch(path.name)
    if match and int(match["count"]) > 1:
        raise CheckpointError(
            f"{path.name} is one of {int(match['count'])} files of a model", hint=f"open the folder: {path.parent}"
        )
    return as_a_model_sees_it(HuggingFaceCheckpoint(path.parent, path))
