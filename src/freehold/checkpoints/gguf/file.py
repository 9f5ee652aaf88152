"""One GGUF file, version 2 or 3: its header's checks and its tensor directory."""

from __future__ import annotations

from math import prod
from pathlib import Path

from freehold.checkpoints import limits
from freehold.checkpoints.gguf.cursor import Cursor
from freehold.checkpoints.gguf.metadata import Metadata
from freehold.checkpoints.gguf.values import (
    ALIGNMENT_KEY,
    DEFAULT_ALIGNMENT,
    FOREIGN_TYPE_NAMES,
    MAGIC,
    MAX_DIMENSIONS,
    TENSOR_TYPES,
    VERSION,
    is_alignment,
)
from freehold.checkpoints.layout import Span, aligned, check_layout
from freehold.checkpoints.mapped import MappedFile
from freehold.errors import CheckpointError, UnsupportedTensorType
from freehold.tensors import BLOCK_FORMATS, QUANTISED_TYPES, READABLE_TYPES, Tensor, TensorInfo


class GgufFile:
    """One memory-mapped GGUF file.

    Attributes:
        path: the file.
        metadata: its key-value pairs.
        tensors: every tensor in it, by name, shapes outermost first.
        file: its bytes.
    """

    def __init__(self, path: Path) -> None:
        """Map a file and check everything before the tensors' bytes, and where those lie.

        Raises:
            CheckpointError: the file is absent, truncated, damaged, hostile, or of another version or byte order.
            UnsupportedTensorType: a tensor is stored in a type that we do not know; the message names both.
        """
        self.path = path
        self.tensors: dict[str, TensorInfo] = {}
        self._starts: dict[str, int] = {}
        self.file = MappedFile(path)
        cursor = Cursor(self.file.data, path.name)
        _check_version(cursor)
        tensor_count = cursor.uint64("the number of tensors")
        self.metadata = Metadata(cursor, cursor.uint64("the number of metadata keys"))
        alignment = self._alignment(cursor)
        spans = self._read_directory(cursor, tensor_count, alignment)
        self._data_start = aligned(cursor.position, alignment)
        if spans or self.file.size > self._data_start:
            check_layout(spans, self.file.size - self._data_start, alignment, path.name)

    def read(self, name: str) -> Tensor:
        """The tensor of that name, its bytes still in the file.

        Raises:
            CheckpointError: the name is absent, or the file changed since it was opened.
            UnsupportedTensorType: it is stored in a type that is only listed.
        """
        info = self.tensors.get(name)
        if info is None:
            raise CheckpointError(f"{self.path.name} has no tensor {name!r}")
        if info.type not in READABLE_TYPES:
            raise _unsupported(self.path.name, name, info.type.value)
        alignment = 1 if info.type in QUANTISED_TYPES else BLOCK_FORMATS[info.type].bytes
        return Tensor(info, self.file.view(self._data_start + self._starts[name], info.bytes, alignment))

    def _alignment(self, cursor: Cursor) -> int:
        alignment = self.metadata.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
        if not is_alignment(alignment):
            raise cursor.error(
                f"{ALIGNMENT_KEY} is {alignment!r:.100}; expected a power of two up to {limits.MAX_ALIGNMENT}"
            )
        return int(alignment)

    def _read_directory(self, cursor: Cursor, count: int, alignment: int) -> list[Span]:
        if count > limits.MAX_GGUF_TENSORS:
            raise cursor.error(f"there are {count} tensors; at most {limits.MAX_GGUF_TENSORS} are read")
        spans: list[Span] = []
        for _ in range(count):
            info = _read_info(cursor)
            if info.name in self.tensors:
                raise cursor.error(f"two tensors are called {info.name!r}")
            start = cursor.uint64(f"the offset of tensor {info.name!r}")
            if start % alignment:
                raise cursor.error(f"tensor {info.name!r} starts at {start}, which is not a multiple of {alignment}")
            self.tensors[info.name] = info
            self._starts[info.name] = start
            spans.append(Span(start, start + info.bytes, info.name))
        return spans


def _check_version(cursor: Cursor) -> None:
    if cursor.data[: len(MAGIC)] != MAGIC:
        raise cursor.error(f"this is not a GGUF file: it starts with {cursor.data[: len(MAGIC)]!r}")
    cursor.advance(len(MAGIC), "the magic number")
    version = cursor.uint32("the version")
    if version in (2, VERSION):
        return
    problem = f"GGUF version {version} is not supported; expected 2 or {VERSION}"
    if version != 0 and version & 0xFFFF == 0:
        problem = "the file is in big-endian byte order, which is not supported"
    raise CheckpointError(f"{cursor.file}: {problem}", hint="convert the model again with a current converter")


def _read_info(cursor: Cursor) -> TensorInfo:
    """Name, dimensions and type of the next tensor in the directory."""
    name = cursor.name("a tensor's name", limits.MAX_NAME_BYTES)
    rank = cursor.uint32(f"the rank of tensor {name!r}")
    if not 1 <= rank <= MAX_DIMENSIONS:
        raise cursor.error(f"tensor {name!r} has {rank} dimensions; expected 1 to {MAX_DIMENSIONS}")
    # The innermost dimension comes first in the file.
    shape = tuple(reversed([cursor.uint64(f"a dimension of tensor {name!r}") for _ in range(rank)]))
    if 0 in shape or prod(shape) > limits.MAX_ELEMENTS:
        raise cursor.error(f"tensor {name!r} has the impossible shape {shape}")
    number = cursor.uint32(f"the type of tensor {name!r}")
    kind = TENSOR_TYPES.get(number)
    if kind is None:
        raise _unsupported(cursor.file, name, FOREIGN_TYPE_NAMES.get(number, f"type number {number}"))
    if shape[-1] % BLOCK_FORMATS[kind].elements:
        raise cursor.error(
            f"tensor {name!r} has {shape[-1]} columns, not a multiple of the {BLOCK_FORMATS[kind].elements} of {kind}"
        )
    return TensorInfo(name, shape, kind)


def _unsupported(file: str, name: str, kind: str) -> UnsupportedTensorType:
    return UnsupportedTensorType(
        f"{file}: tensor {name!r} is stored as {kind}, which we do not read",
        hint="choose a file in one of: " + ", ".join(sorted(READABLE_TYPES)),
    )
