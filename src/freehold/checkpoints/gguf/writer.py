"""Writing GGUF version 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from freehold.checkpoints.atomic import atomic_file
from freehold.checkpoints.base import LazyTensor
from freehold.checkpoints.gguf.values import (
    ALIGNMENT_KEY,
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_DIMENSIONS,
    NUMBERS,
    TENSOR_TYPE_NUMBERS,
    UINT32,
    UINT64,
    VERSION,
    ValueType,
    is_alignment,
)
from freehold.checkpoints.layout import aligned
from freehold.errors import CheckpointError, UnsupportedTensorType
from freehold.tensors import BLOCK_FORMATS, TensorInfo

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
NUMPY_TYPES: dict[str, ValueType] = {
    "|u1": ValueType.UINT8,
    "|i1": ValueType.INT8,
    "<u2": ValueType.UINT16,
    "<i2": ValueType.INT16,
    "<u4": ValueType.UINT32,
    "<i4": ValueType.INT32,
    "<u8": ValueType.UINT64,
    "<i8": ValueType.INT64,
    "<f4": ValueType.FLOAT32,
    "<f8": ValueType.FLOAT64,
    "|b1": ValueType.BOOL,
}


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Sequence[LazyTensor]) -> None:
    """Write a file, one tensor in memory at a time. It appears under its name when it is complete.

    Args:
        metadata: values are bool, str, int (stored as uint32, else int32, uint64 or int64 as it fits), float
            (float32, beyond its range float64), a NumPy scalar (its own type), a list of one of these (whole numbers
            as int32 where they fit) or a one-dimensional NumPy array. `general.alignment` is obeyed.
        tensors: shapes outermost dimension first, as everywhere; the file has them the other way round.

    Raises:
        UnsupportedTensorType: a tensor is stored in a type that GGUF does not have.
        CheckpointError: the file cannot be written, a name occurs twice, or a value has no GGUF type.
    """
    alignment = metadata.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
    if not is_alignment(alignment):
        raise CheckpointError(f"{ALIGNMENT_KEY} is {alignment!r}; expected a power of two")
    header = _header(metadata, [tensor.info for tensor in tensors], alignment)
    with atomic_file(path) as file:
        file.write(header)
        for tensor in tensors:
            file.write(tensor.data().data)
            _pad(file, alignment)


def _header(metadata: Mapping[str, Any], infos: Sequence[TensorInfo], alignment: int) -> bytes:
    """Everything before the tensors' bytes, padded to where those start."""
    parts = [MAGIC, UINT32.pack(VERSION), UINT64.pack(len(infos)), UINT64.pack(len(metadata))]
    for key, value in metadata.items():
        kind, encoded = _value(key, value)
        parts += [_string(key), UINT32.pack(kind), encoded]
    ends = accumulate(aligned(info.bytes, alignment) for info in infos)
    seen: set[str] = set()
    for info, end in zip(infos, ends, strict=True):
        if info.name in seen:
            raise CheckpointError(f"two tensors are called {info.name!r}")
        seen.add(info.name)
        parts.append(_directory_entry(info, end - aligned(info.bytes, alignment)))
    header = b"".join(parts)
    return header + bytes(-len(header) % alignment)


def _directory_entry(info: TensorInfo, start: int) -> bytes:
    number = TENSOR_TYPE_NUMBERS.get(info.type)
    if number is None:
        raise UnsupportedTensorType(
            f"tensor {info.name!r} is stored as {info.type}, which GGUF does not have",
            hint="write it as F32, F16 or BF16",
        )
    fills_blocks = info.shape and info.shape[-1] % BLOCK_FORMATS[info.type].elements == 0
    if not fills_blocks or len(info.shape) > MAX_DIMENSIONS or 0 in info.shape:
        raise CheckpointError(f"tensor {info.name!r} of shape {info.shape} cannot be stored as {info.type} in GGUF")
    dimensions = [UINT64.pack(dimension) for dimension in reversed(info.shape)]
    return b"".join(
        [_string(info.name), UINT32.pack(len(dimensions)), *dimensions, UINT32.pack(number), UINT64.pack(start)]
    )


def _value(key: str, value: Any) -> tuple[ValueType, bytes]:
    """A metadata value's type and bytes."""
    match value:
        case str():
            return ValueType.STRING, _string(value)
        case np.ndarray() if value.ndim == 1:
            kind = _numpy_type(key, value.dtype)
            return ValueType.ARRAY, _array_header(kind, len(value)) + value.astype(NUMBERS[kind].format).tobytes()
        case np.generic():
            kind = _numpy_type(key, value.dtype)
            return kind, NUMBERS[kind].pack(value.item())
        case bool() | int() | float():
            kind = _number_type(key, [value], (ValueType.UINT32, ValueType.INT32))
            return kind, NUMBERS[kind].pack(value)
        case list() | tuple():
            return ValueType.ARRAY, _array(key, value)
    raise _no_type(key, value)


def _array(key: str, values: Sequence[Any]) -> bytes:
    if all(isinstance(value, str) for value in values) and values:
        return _array_header(ValueType.STRING, len(values)) + b"".join(map(_string, values))
    if all(isinstance(value, list | tuple) for value in values) and values:
        return _array_header(ValueType.ARRAY, len(values)) + b"".join(_array(key, value) for value in values)
    kind = _number_type(key, values, (ValueType.INT32,))
    return _array_header(kind, len(values)) + b"".join(map(NUMBERS[kind].pack, values))


def _number_type(key: str, values: Sequence[Any], preferred: tuple[ValueType, ...]) -> ValueType:
    """The one type for Python numbers: for integers the first that holds them all, tried from the preferred ones on."""
    if values and all(isinstance(value, bool) for value in values):
        return ValueType.BOOL
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        raise _no_type(key, values)
    if any(isinstance(value, float) for value in values):
        fits = all(abs(value) <= LARGEST_FLOAT32 or not isfinite(value) for value in values)
        return ValueType.FLOAT32 if fits else ValueType.FLOAT64
    for kind in (*preferred, ValueType.UINT64, ValueType.INT64):
        limit = np.iinfo(NUMBERS[kind].format)
        if all(limit.min <= value <= limit.max for value in values):
            return kind
    raise _no_type(key, values)


def _numpy_type(key: str, dtype: np.dtype[Any]) -> ValueType:
    kind = NUMPY_TYPES.get(dtype.newbyteorder("<").str)
    if kind is None:
        raise CheckpointError(f"the metadata value of {key!r} has the dtype {dtype}, which GGUF does not have")
    return kind


def _no_type(key: str, value: Any) -> CheckpointError:
    return CheckpointError(
        f"the metadata value of {key!r} has no GGUF type: {value!r:.200}",
        hint="use bool, int, float, str, or a list of values of one of these",
    )


def _array_header(kind: ValueType, count: int) -> bytes:
    return UINT32.pack(kind) + UINT64.pack(count)


def _string(text: str) -> bytes:
    encoded = text.encode()
    return UINT64.pack(len(encoded)) + encoded


def _pad(file: BinaryIO, alignment: int) -> None:
    file.write(bytes(-file.tell() % alignment))
