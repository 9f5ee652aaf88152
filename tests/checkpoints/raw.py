"""Model files put together byte by byte, so that a test can make any part of them wrong."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ALIGNMENT = 32

# Hypothesis examples where each one writes files, and waits until they are on the disk.
WRITTEN = 30


# --- GGUF -----------------------------------------------------------------------------------------------------------


def string(text: bytes, length: int | None = None) -> bytes:
    """A GGUF string, or one that lies about its length."""
    return struct.pack("<Q", len(text) if length is None else length) + text


def pair(key: bytes, kind: int, payload: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + payload


def array(kind: int, count: int, payload: bytes) -> bytes:
    return struct.pack("<IQ", kind, count) + payload


def text(key: bytes, value: bytes) -> bytes:
    return pair(key, 8, string(value))


def tensor(
    name: bytes = b"weight", dimensions: Sequence[int] = (4, 2), kind: int = 0, offset: int = 0, rank: int | None = None
) -> bytes:
    """A directory entry; dimensions innermost first, as in the file."""
    rank = len(dimensions) if rank is None else rank
    return string(name) + struct.pack(f"<I{len(dimensions)}QIQ", rank, *dimensions, kind, offset)


@dataclass(frozen=True)
class Gguf:
    """A small valid file unless told otherwise: one float32 tensor of shape (2, 4)."""

    pairs: Sequence[bytes] = (text(b"general.architecture", b"llama"),)
    tensors: Sequence[bytes] = (tensor(),)
    data: bytes = bytes(range(32))
    magic: bytes = b"GGUF"
    version: int = 3
    pair_count: int | None = None
    tensor_count: int | None = None
    alignment: int = ALIGNMENT

    def build(self) -> bytes:
        tensors = len(self.tensors) if self.tensor_count is None else self.tensor_count
        pairs = len(self.pairs) if self.pair_count is None else self.pair_count
        header = self.magic + struct.pack("<IQQ", self.version, tensors, pairs)
        header += b"".join(self.pairs) + b"".join(self.tensors)
        return header + bytes(-len(header) % self.alignment) + self.data

    def write(self, folder: Path) -> Path:
        path = folder / "model.gguf"
        path.write_bytes(self.build())
        return path


# --- safetensors ----------------------------------------------------------------------------------------------------


def entry(shape: Any = (2, 4), start: Any = 0, stop: Any = 32, dtype: Any = "F32", **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop], **more}


def safetensors(header: Mapping[str, Any] | bytes, data: bytes = bytes(range(32)), length: int | None = None) -> bytes:
    """A file with this header (JSON bytes as they are), or one that lies about the header's length."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


@dataclass(frozen=True)
class Folder:
    """A Hugging Face folder with one valid tensor unless told otherwise."""

    files: Mapping[str, bytes] = field(default_factory=lambda: {"model.safetensors": safetensors({"weight": entry()})})
    config: bytes | None = b'{"model_type": "llama"}'

    def write(self, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        if self.config is not None:
            (folder / "config.json").write_bytes(self.config)
        return folder


def index(weight_map: Mapping[str, Any], **more: Any) -> bytes:
    return json.dumps({"metadata": {"total_size": 64}, "weight_map": weight_map, **more}).encode()


EXPECTED = np.frombuffer(bytes(range(32)), "<f4").reshape(2, 4)
