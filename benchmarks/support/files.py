"""Model files of real shapes with random weights, mixed from storage types as llama.cpp's quantiser mixes them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.blocks import BlockPool
from benchmarks.support.shapes import SHAPES
from freehold.checkpoints import write_gguf
from freehold.checkpoints.base import LazyTensor, MemoryCheckpoint, Naming
from freehold.errors import CheckpointError
from freehold.models.config import ModelConfig
from freehold.models.describe import frequency_factors, to_gguf
from freehold.models.loading import outline, parameter_shapes
from freehold.store import resolve
from freehold.tensors import BLOCK_FORMATS, Tensor, TensorInfo, TensorType
from freehold.text import load_text
from freehold.text.writing import gguf_vocabulary

# A part of the file name: what is written under it has changed when this does.
REVISION = 1
NO_VOCABULARY: Mapping[str, Any] = {"tokenizer.ggml.model": "no_vocab"}
FREE_BYTES = 1 << 30


class FileType(StrEnum):
    """What a file is called by the type of most of its weights, and llama.cpp's number for it."""

    Q4_0 = "Q4_0"
    Q4_K_M = "Q4_K_M"
    Q8_0 = "Q8_0"
    F16 = "F16"

    @property
    def number(self) -> int:
        return {FileType.F16: 1, FileType.Q4_0: 2, FileType.Q8_0: 7, FileType.Q4_K_M: 15}[self]


# What takes the place of a type whose blocks a row does not fill.
_NARROW_ROWS = {TensorType.Q4_K: TensorType.Q5_0, TensorType.Q6_K: TensorType.Q8_0}


def cache_folder(named: Path | None = None) -> Path:
    """Where model files and the peer's environment are kept: the named folder, else one in the user's cache."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = named or base / "freehold-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def model_file(
    folder: Path, shape: str, kind: FileType, vocabulary: Mapping[str, Any] = NO_VOCABULARY, name: str = ""
) -> Path:
    """The GGUF file of a shape in a type, written first where it is not there yet.

    Args:
        vocabulary: `tokenizer.*` metadata; by default the file works on token ids alone.
        name: tells files of one shape with different vocabularies apart.

    Raises:
        CheckpointError: the disk has no room for it.
    """
    path = folder / f"{shape}{name}-{kind}-{REVISION}.gguf"
    if not path.exists():
        _write(path, SHAPES[shape], kind, vocabulary)
    return path


def text_model(folder: Path, shape: str, kind: FileType) -> Path:
    """A model of a shape that reads and writes text, with the vocabulary of the bundled pebble."""
    text = load_text(resolve("pebble"))
    assert text is not None  # it is bundled
    vocabulary = gguf_vocabulary(text.tokenizer, None, text.tokenizer.vocab_size)
    return model_file(folder, shape, kind, vocabulary, name="-text")


def _write(path: Path, shape: Mapping[str, Any], kind: FileType, vocabulary: Mapping[str, Any]) -> None:
    tokens = vocabulary.get("tokenizer.ggml.tokens")
    fields = dict(shape) if tokens is None else {**shape, "vocab_size": len(tokens)}
    config, infos = described(fields, kind)
    size = sum(info.bytes for info in infos)
    free = shutil.disk_usage(path.parent).free
    if free < size + FREE_BYTES:
        raise CheckpointError(
            f"{path.name} takes {size / 1e9:.1f} GB, {path.parent} has {free / 1e9:.1f} GB",
            hint="name a folder with more room by --cache",
        )
    pool = BlockPool()
    tensors = [_lazy(info, pool) for info in infos]
    if config.rope is not None and config.rope.scaling is not None:
        tensors.append(LazyTensor.of(Tensor.from_array("rope_freqs.weight", frequency_factors(config.rope))))
    metadata = to_gguf(config, path.stem) | {"general.file_type": kind.number, "general.quantization_version": 2}
    print(f"writing {path} ({size / 1e9:.1f} GB)", flush=True)
    write_gguf(path, {**metadata, **vocabulary}, tensors)


def _lazy(info: TensorInfo, pool: BlockPool) -> LazyTensor:
    if info.name.endswith("norm.weight"):
        return LazyTensor(info, lambda: np.ones(info.elements, np.float32).view(np.uint8))
    return LazyTensor(info, partial(pool.bytes_of, info))


def described(shape: Mapping[str, Any], kind: FileType) -> tuple[ModelConfig, list[TensorInfo]]:
    """The configuration of a shape, and the tensors that its GGUF file has in a type."""
    model = outline(MemoryCheckpoint(shape, {}))
    config = model.config
    stored = model.weights.tensors(Naming.GGUF, config, parameter_shapes(model))
    return config, list(_infos(config, {tensor.name: tensor.shape for tensor in stored}, kind))


def _infos(config: ModelConfig, shapes: Mapping[str, tuple[int, ...]], kind: FileType) -> Iterator[TensorInfo]:
    for name, shape in shapes.items():
        wanted = stored_type(name, kind, config)
        if len(shape) == 1 or name.endswith("ffn_gate_inp.weight"):
            wanted = TensorType.F32
        if shape[-1] % BLOCK_FORMATS[wanted].elements:
            wanted = _NARROW_ROWS[wanted]
        yield TensorInfo(name, shape, wanted)


def stored_type(name: str, kind: FileType, config: ModelConfig) -> TensorType:
    """The type that llama.cpp's quantiser gives a matrix, before it looks at the length of its rows.

    The head is held in more bits in every 4-bit file, and so is the embedding where it is the head; Q4_K_M holds values
    and the MLP's way down in more bits in the first and last eighth of the layers, and in every third between them.
    """
    if kind in (FileType.F16, FileType.Q8_0):
        return TensorType(kind)
    is_head = name == ("token_embd.weight" if config.tied_embeddings else "output.weight")
    if is_head:
        return TensorType.Q6_K
    if kind is FileType.Q4_0:
        return TensorType.Q4_0
    is_delicate = "attn_v." in name or "ffn_down" in name
    if is_delicate and _has_more_bits(int(name.split(".")[1]), config.layers):
        return TensorType.Q6_K
    return TensorType.Q4_K


def _has_more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
