"""From stored tensors to packed weights.

What `dtype` makes of each storage type:

    stored              None    f32     f16      q8            q4
    F32, F64            f32     f32     rounded  quantised     quantised
    F16                 f16     f32     f16      quantised     quantised
    BF16                bf16    f32     rounded  quantised     quantised
    4-bit (Q4_*)        kept    f32     rounded  kept          kept
    4-bit (MXFP4*)      kept    f32     rounded  kept          kept
    4-bit (UINT4)       kept    f32     rounded  kept          kept
    8-bit (Q5_*, Q6_K,  kept    f32     rounded  kept          dequantised, then quantised
           Q8_0, UINT8,
           FP8)

"kept" loses nothing: codes, scales and minimums stay as they are, and so does every dequantised value. Scales are held
in float16 where every one of them fits, else in float32. FP8, MXFP4 and the K types have formats of their own, with the
scales that they come with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from freehold import _kernels
from freehold.errors import CheckpointError
from freehold.tensors import FLOAT_TYPES, GroupedTensor, Tensor, TensorType, WeightType, keeps_codes, mxfp4

ROWS_PER_PANEL = 8
BLOCK_COLUMNS = 32

# Elements that are unpacked or quantised at a time, so that a large tensor does not need its size several times over.
CHUNK_ELEMENTS = 1 << 23

Scale = TypeVar("Scale", np.float32, np.uint8)
FloatFormat = Literal["f32", "f16", "bf16"]
Float32Array = npt.NDArray[np.float32]

_STORED_AS: dict[TensorType, FloatFormat] = {
    TensorType.F64: "f32",
    TensorType.F32: "f32",
    TensorType.F16: "f16",
    TensorType.BF16: "bf16",
}
SUPERBLOCKS: dict[TensorType, Literal["q4_k", "q5_k", "q6_k"]] = {
    TensorType.Q4_K: "q4_k",
    TensorType.Q5_K: "q5_k",
    TensorType.Q6_K: "q6_k",
}
_ASKED_FOR: dict[WeightType, FloatFormat] = {WeightType.F32: "f32", WeightType.F16: "f16"}


def pack_linear(
    parts: Sequence[Tensor], bias: Sequence[Tensor | None] | None, dtype: WeightType | None
) -> _kernels.LinearWeight:
    """Pack parts [outputs_i, inputs] and their biases; see `Ops.pack_linear` and the table above.

    Raises:
        CheckpointError: a weight cannot be held in the type that was asked for.
    """
    biases = None if bias is None else [None if one is None else np.ravel(one.float32()) for one in bias]
    return _kernels.LinearWeight([_pack(part, dtype) for part in parts], biases)


def _pack(tensor: Tensor, dtype: WeightType | None) -> _kernels.Matrix:
    if len(tensor.info.shape) != 2 or not tensor.info.elements:
        raise ValueError(
            f"tensor {tensor.info.name!r} has shape {tensor.info.shape}, must have two dimensions, none empty"
        )
    is_float = tensor.info.type in FLOAT_TYPES
    if dtype is None or keeps_codes(tensor.info.type, dtype):
        if tensor.info.type is TensorType.FP8:
            return _pack_float8(tensor)
        if tensor.info.type in (TensorType.MXFP4, TensorType.MXFP4_APART):
            return _pack_mxfp4(tensor)
        if tensor.info.type in SUPERBLOCKS:
            return _pack_superblocks(tensor)
    if dtype in (WeightType.Q4, WeightType.Q8):
        bits = 4 if dtype is WeightType.Q4 else 8
        return _pack_groups(tensor, None if keeps_codes(tensor.info.type, dtype) else bits)
    if dtype is None and not is_float:
        return _pack_groups(tensor, None)
    return _pack_floats(tensor, _STORED_AS[tensor.info.type] if dtype is None else _ASKED_FOR[dtype])


def _pack_float8(tensor: Tensor) -> _kernels.Matrix:
    rows, columns = tensor.info.shape
    codes, scales = tensor.float8()
    out = _kernels.empty(_kernels.packed_bytes("fp8", rows, columns))
    try:
        _kernels.pack_codes(codes, "fp8", 0, out)
    except ValueError as error:
        raise CheckpointError(
            f"tensor {tensor.info.name!r} cannot be held as FP8: {error}",
            hint="the weights are damaged; download the model again",
        ) from error
    return _kernels.Matrix("fp8", rows, columns, out, _by_panel(scales))


def _pack_mxfp4(tensor: Tensor) -> _kernels.Matrix:
    rows, columns = tensor.info.shape
    out = _kernels.empty(_kernels.packed_bytes("mxfp4", rows, columns))
    panels = []
    for first, chunk in _chunks(tensor):
        nibbles, scales = mxfp4.nibbles_and_scales(chunk.in_blocks().data)
        mxfp4.check_scales(tensor.info.name, scales)
        _kernels.pack_codes(nibbles.reshape(-1, columns), "mxfp4", first, out)
        panels.append(_by_panel(scales.reshape(-1, columns // BLOCK_COLUMNS)))
    return _kernels.Matrix("mxfp4", rows, columns, out, np.concatenate(panels))


def _pack_superblocks(tensor: Tensor) -> _kernels.Matrix:
    rows, columns = tensor.info.shape
    format_ = SUPERBLOCKS[tensor.info.type]
    out = _kernels.empty(_kernels.packed_bytes(format_, rows, columns))
    _kernels.pack_superblocks(tensor.data, format_, rows, columns, 0, out)
    return _kernels.Matrix(format_, rows, columns, out)


def _pack_floats(tensor: Tensor, target: FloatFormat) -> _kernels.Matrix:
    rows, columns = tensor.info.shape
    out = _kernels.empty(_kernels.packed_bytes(target, rows, columns))
    for first, chunk in _chunks(tensor):
        source = _STORED_AS.get(chunk.info.type, "f32")
        raw = chunk.data
        if chunk.info.type not in FLOAT_TYPES or chunk.info.type is TensorType.F64:
            raw = np.ravel(chunk.float32()).view(np.uint8)
        try:
            _kernels.pack_floats(raw, source, target, chunk.info.shape[0], columns, first, out)
        except ValueError as error:
            raise CheckpointError(
                f"tensor {tensor.info.name!r} cannot be held as {target}: {error}", hint="load it with dtype f32"
            ) from error
    return _kernels.Matrix(target, rows, columns, out)


@dataclass(slots=True)
class _Groups:
    """Scales and minimums of the whole tensor as its chunks come in, laid out as the kernels want them."""

    scales: list[Float32Array]
    minimums: list[Float32Array]

    def add(self, grouped: GroupedTensor) -> None:
        self.scales.append(_by_panel(grouped.scales))
        if grouped.minimums is not None:
            self.minimums.append(_by_panel(grouped.minimums))

    def finish(self) -> tuple[npt.NDArray[np.float16 | np.float32], npt.NDArray[np.float16 | np.float32] | None]:
        scales = np.concatenate(self.scales)
        minimums = np.concatenate(self.minimums) if self.minimums else None
        with np.errstate(over="ignore"):  # what does not fit shows in the comparison
            half_scales = scales.astype(np.float16)
            half_minimums = None if minimums is None else minimums.astype(np.float16)
        if not _equal(half_scales, scales):
            return scales, minimums
        if minimums is None or half_minimums is None:
            return half_scales, None
        return (half_scales, half_minimums) if _equal(half_minimums, minimums) else (scales, minimums)


def _equal(narrow: npt.NDArray[np.float16], wide: Float32Array) -> bool:
    return np.array_equal(narrow.astype(np.float32), wide, equal_nan=True)


def _pack_groups(tensor: Tensor, bits: int | None) -> _kernels.Matrix:
    """Groups as they are stored where bits is None, else quantised to so many bits."""
    rows, columns = tensor.info.shape
    groups = _Groups([], [])
    out: npt.NDArray[np.uint8] | None = None
    for first, chunk in _chunks(tensor):
        grouped = chunk.grouped() if bits is None else _quantised(chunk, bits)
        target: Literal["q4", "q8"] = "q4" if grouped.bits == 4 else "q8"
        if out is None:
            out = _kernels.empty(_kernels.packed_bytes(target, rows, columns))
        _kernels.pack_codes(grouped.codes, target, first, out)
        groups.add(grouped)
    assert out is not None  # there is at least one row
    scales, minimums = groups.finish()
    return _kernels.Matrix(target, rows, columns, out, scales, minimums, offset=grouped.offset)


def _quantised(chunk: Tensor, bits: int) -> GroupedTensor:
    from freehold.tensors.quantise import pad_columns, quantise  # only where quantised weights are asked for

    return quantise(pad_columns(chunk.float32(), BLOCK_COLUMNS), bits)


def _by_panel(values: npt.NDArray[Scale]) -> npt.NDArray[Scale]:
    """[rows, blocks] -> flat [panel][block][8 rows], zeros for rows that are not there."""
    missing = -len(values) % ROWS_PER_PANEL
    padded = np.pad(values, ((0, missing), (0, 0)))
    return np.ravel(padded.reshape(-1, ROWS_PER_PANEL, padded.shape[1]).transpose(0, 2, 1))


def _chunks(tensor: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The tensor in pieces of whole panels, each with the index of its first row."""
    rows, columns = tensor.info.shape
    step = _rows_at_a_time(columns)
    for first in range(0, rows, step):
        yield first, tensor.slice_rows(first, min(first + step, rows))


def _rows_at_a_time(columns: int) -> int:
    return max(CHUNK_ELEMENTS // columns // ROWS_PER_PANEL, 1) * ROWS_PER_PANEL
