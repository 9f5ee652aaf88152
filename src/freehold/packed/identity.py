"""Whose packed weights a file holds: the checkpoint, what was asked for, and how this version of Freehold packs."""

from __future__ import annotations

import hashlib
import json
import sys
from functools import cache
from typing import Any

import numpy as np

from freehold import __version__
from freehold.checkpoints.base import Checkpoint, Naming
from freehold.checkpoints.mapped import MappedFile
from freehold.ops.native.weights import pack_linear
from freehold.packed.layout import SAMPLE_BYTES, sample_places
from freehold.tensors import ASSEMBLED_TYPES, READABLE_TYPES, Tensor, TensorInfo, WeightType

_HEADER_BYTES = 1 << 16


def sources(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """What tells a checkpoint's files from others, without reading them: path, size, time, and a hash of samples."""
    return [
        {
            "path": str(file.path.resolve()),
            "size": file.size,
            "modified": file.modified,
            "samples": _samples(file),
        }
        for file in checkpoint.files
    ]


def key_of(checkpoint: Checkpoint, dtype: WeightType | None) -> str:
    """A name for what packing a checkpoint gives."""
    config = dict(checkpoint.config) if checkpoint.naming is Naming.HUGGING_FACE else None  # GGUF's is in the file
    parts = [__version__, packing(), sys.byteorder, dtype, config, sources(checkpoint)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _samples(file: MappedFile) -> str:
    digest = hashlib.sha256(file.data[:_HEADER_BYTES])
    for place in sample_places(0, file.size):
        digest.update(file.data[place : place + SAMPLE_BYTES])
    return digest.hexdigest()


@cache
def packing() -> str:
    """What packing makes of a fixed tensor of every type: another layout gives another string.

    So there is no version number that somebody has to remember to change.
    """
    digest = hashlib.sha256()
    numbers = Tensor.from_array("sample", (np.arange(64 * 256) * 37 % 89 - 44).astype(np.float32).reshape(64, 256))
    samples: list[tuple[Tensor, WeightType | None]] = [(numbers, WeightType.Q4), (numbers, WeightType.Q8)]
    for kind in sorted(READABLE_TYPES - ASSEMBLED_TYPES):
        info = TensorInfo("sample", (64, 256), kind)
        # Bytes below 0x60 spell no NaN and no infinity in any of the types.
        samples.append((Tensor(info, (np.arange(info.bytes) * 37 % 89).astype(np.uint8)), None))
    for tensor, dtype in samples:
        matrix = pack_linear([tensor], None, dtype).parts[0]
        digest.update(f"{tensor.info.type} {dtype} {matrix.format} {matrix.offset}".encode())
        for array in (matrix.codes, matrix.scales, matrix.minimums):
            if array is not None:
                digest.update(array.tobytes())
    return digest.hexdigest()
