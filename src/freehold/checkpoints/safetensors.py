"""One safetensors file: eight bytes of length, a JSON header, the tensors' bytes.

The checks are those of the audited reader of the format (huggingface/safetensors): the header is a bounded object with
no key twice, and the tensors' offsets are in bounds, do not overlap, and leave no byte out.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from freehold.checkpoints import limits
from freehold.checkpoints.atomic import atomic_file
from freehold.checkpoints.base import LazyTensor
from freehold.checkpoints.json_text import Scanner
from freehold.checkpoints.layout import DAMAGED, Span, check_layout
from freehold.checkpoints.mapped import MappedFile
from freehold.errors import CheckpointError, UnsupportedTensorType
from freehold.tensors import (
    ASSEMBLED_TYPES,
    BLOCK_FORMATS,
    QUANTISED_TYPES,
    READABLE_TYPES,
    Tensor,
    TensorInfo,
    TensorType,
)

LENGTH = struct.Struct("<Q")
ENTRY_KEYS = {"dtype", "shape", "data_offsets"}
STORED_TYPES = {kind.value: kind for kind in TensorType if kind not in QUANTISED_TYPES | ASSEMBLED_TYPES}

# transformers refuses a file that does not say which framework's conventions its tensors follow.
METADATA = {"format": "pt"}


class SafetensorsFile:
    """A memory-mapped safetensors file.

    Attributes:
        path: the file.
        tensors: every tensor in it, by name.
        file: its bytes.
    """

    def __init__(self, path: Path) -> None:
        """Map a file and check its header.

        Raises:
            CheckpointError: the file is absent, truncated, damaged or hostile.
        """
        self.path = path
        self.tensors: dict[str, TensorInfo] = {}
        self._starts: dict[str, int] = {}
        self.file = MappedFile(path)
        self._data_start = self._header_end()
        self._read_header()

    def read(self, name: str) -> Tensor:
        """The tensor of that name, its bytes still in the file.

        Raises:
            CheckpointError: the name is absent, or the file changed since it was opened.
            UnsupportedTensorType: it is stored in a type that is only listed.
        """
        data = self.raw(name)
        info = self.tensors[name]
        if info.type not in READABLE_TYPES:
            raise UnsupportedTensorType(
                f"{self.path.name}: tensor {name!r} is stored as {info.type}, which we do not read",
                hint="use a copy of the model with float16, bfloat16 or float32 weights, or a GGUF file",
            )
        return Tensor(info, data)

    def raw(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of the tensor of that name, of whatever type, still in the file.

        Raises:
            CheckpointError: the name is absent, or the file changed since it was opened.
        """
        info = self.tensors.get(name)
        if info is None:
            raise CheckpointError(f"{self.path.name} has no tensor {name!r}")
        start = self._data_start + self._starts[name]
        return self.file.view(start, info.bytes, BLOCK_FORMATS[info.type].bytes)

    def _header_end(self) -> int:
        if self.file.size < LENGTH.size:
            raise self._error(f"{self.file.size} bytes are too few for a safetensors file")
        (length,) = LENGTH.unpack_from(self.file.data)
        if length > min(limits.MAX_HEADER_BYTES, self.file.size - LENGTH.size):
            raise self._error(
                f"the header claims {length} bytes, in a file of {self.file.size}; "
                f"at most {limits.MAX_HEADER_BYTES} are read"
            )
        end: int = LENGTH.size + length
        if self.file.data[LENGTH.size : LENGTH.size + 1] != b"{":
            raise self._error("the header does not start with an opening brace")
        return end

    def _read_header(self) -> None:
        scanner = Scanner(self.file.data, LENGTH.size, self._data_start, self.path.name)
        spans: list[Span] = []
        for name in scanner.members(limits.MAX_TENSORS_PER_FILE + 1):
            if name == "__metadata__":
                for _ in scanner.members(limits.MAX_METADATA_KEYS):
                    scanner.skip_string()
                continue
            self.tensors[name], span = self._entry(name, scanner.value(limits.MAX_ENTRY_BYTES))
            self._starts[name] = span.start
            spans.append(span)
        scanner.finish()
        check_layout(spans, self.file.size - self._data_start, 1, self.path.name)

    def _entry(self, name: str, entry: Any) -> tuple[TensorInfo, Span]:
        """A header entry as a tensor's description and its place."""
        if not name.isprintable() or not 0 < len(name) <= limits.MAX_NAME_BYTES:
            raise self._error(f"{name!r:.200} is not a tensor's name")
        if not isinstance(entry, dict) or entry.keys() != ENTRY_KEYS:
            raise self._error(f"tensor {name!r} is not described by dtype, shape and data_offsets")
        kind, shape = self._type(name, entry["dtype"]), entry["shape"]
        if not _are_lengths(shape) or len(shape) > limits.MAX_RANK:
            raise self._error(f"tensor {name!r}: {shape!r:.200} is not a shape of at most {limits.MAX_RANK} dimensions")
        # Zeros count as one: an empty tensor may not have dimensions that NumPy cannot index either.
        if prod(dimension or 1 for dimension in shape) > limits.MAX_ELEMENTS:
            raise self._error(f"tensor {name!r}: the shape {shape!r:.200} is too large")
        info, offsets = TensorInfo(name, tuple(shape), kind), entry["data_offsets"]
        if not _are_lengths(offsets) or len(offsets) != 2:
            raise self._error(f"tensor {name!r}: {offsets!r:.200} are not two offsets")
        start, stop = offsets
        needed = info.bytes
        if stop - start != needed or info.elements % BLOCK_FORMATS[kind].elements:
            raise self._error(
                f"tensor {name!r} of shape {shape} in {kind} cannot lie in bytes {start} to {stop}, "
                f"since {needed} are needed"
            )
        return info, Span(start, stop, name)

    def _type(self, name: str, dtype: Any) -> TensorType:
        kind = STORED_TYPES.get(dtype) if isinstance(dtype, str) else None
        if kind is None:
            raise UnsupportedTensorType(
                f"{self.path.name}: tensor {name!r} has the unknown dtype {dtype!r:.50}",
                hint="known: " + ", ".join(STORED_TYPES),
            )
        return kind

    def _error(self, problem: str) -> CheckpointError:
        return CheckpointError(f"{self.path.name}: {problem}", hint=DAMAGED)


def write_safetensors(path: Path, tensors: Sequence[LazyTensor], metadata: Mapping[str, str] = METADATA) -> None:
    """Write a file, one tensor in memory at a time. It appears under its name when it is complete.

    Raises:
        UnsupportedTensorType: a tensor is stored in one of GGUF's block formats.
        CheckpointError: the file cannot be written, or a name occurs twice.
    """
    # Widest first, which keeps every tensor aligned to its own width.
    ordered = sorted(tensors, key=lambda tensor: -BLOCK_FORMATS[tensor.info.type].bytes)
    header = _header([tensor.info for tensor in ordered], metadata)
    with atomic_file(path) as file:
        file.write(LENGTH.pack(len(header)))
        file.write(header)
        for tensor in ordered:
            file.write(tensor.data().data)


def _header(infos: Sequence[TensorInfo], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for info in infos:
        if info.type.value not in STORED_TYPES:
            raise UnsupportedTensorType(
                f"tensor {info.name!r} is stored as {info.type}, for which safetensors has no dtype",
                hint="write it as F16, BF16 or F32, or write a GGUF file",
            )
        if info.name in entries:
            raise CheckpointError(f"two tensors are called {info.name!r}")
        stop = start + info.bytes
        entries[info.name] = {"dtype": info.type.value, "shape": list(info.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % LENGTH.size)


def _are_lengths(value: Any) -> bool:
    """Whether a JSON value is a list of whole numbers from 0 to 2^63 - 1. Python counts booleans as integers."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)
