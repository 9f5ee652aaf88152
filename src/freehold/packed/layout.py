"""The file that holds a model's packed weights.

    header      64 bytes: magic, where the index begins and ends, the first 16 bytes of its SHA-256; zeros
    arrays      each from a multiple of 64 bytes on, as the kernels read them
    index       JSON, at the end: whose weights these are, every array's place, and checksums of samples

It is written front to back and gets its name when it is whole. Numbers are little-endian, as the machine's are.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

from freehold.errors import CheckpointError

SUFFIX = ".packed"
ALIGNMENT = 64
SAMPLES = 32
SAMPLE_BYTES = 4096

_MAGIC = b"FREEPACK"
_HEADER = struct.Struct("<8sQQ16s24x")
_LARGEST_INDEX = 1 << 28


def header(start: int, index: bytes) -> bytes:
    """The header of a file whose index begins at `start`."""
    return _HEADER.pack(_MAGIC, start, start + len(index), hashlib.sha256(index).digest()[:16])


# What stands there until the file is whole.
UNFINISHED = bytes(_HEADER.size)


def read_index(file: BinaryIO, size: int) -> Mapping[str, Any]:
    """The index of a file of `size` bytes.

    Raises:
        CheckpointError: it is truncated, damaged, or no such file.
    """
    start_of_file = file.read(_HEADER.size)
    if len(start_of_file) < _HEADER.size:
        raise CheckpointError(f"{size} bytes are too few")
    magic, start, stop, digest = _HEADER.unpack(start_of_file)
    if magic != _MAGIC:
        raise CheckpointError("it does not begin as such a file does")
    if not _HEADER.size <= start <= stop == size or stop - start > _LARGEST_INDEX:
        raise CheckpointError(f"its index is from byte {start} to byte {stop}, but it has {size} bytes")
    file.seek(start)
    text = file.read(stop - start)
    if hashlib.sha256(text).digest()[:16] != digest:
        raise CheckpointError("its index does not have the checksum that it should")
    index: Mapping[str, Any] = json.loads(text)
    return index


def sample_places(start: int, stop: int) -> list[int]:
    """Where in a range of bytes the samples begin, the first and the last among them."""
    last = max(stop - SAMPLE_BYTES, start)
    return sorted({start + (last - start) * i // (SAMPLES - 1) for i in range(SAMPLES)})


def checksum(file: BinaryIO, start: int, stop: int) -> int:
    """A checksum of samples of a range of bytes: enough to notice blocks that never reached the disk."""
    value = 0
    for place in sample_places(start, stop):
        file.seek(place)
        value = zlib.crc32(file.read(min(SAMPLE_BYTES, stop - place)), value)
    return value
