"""Quantised block formats as integer codes, scales and minimums, without loss.

The first layouts are those of `ggml-common.h`, and the values those of `dequantize_row_*` in `ggml-quants.c`, in
ggml-org/ggml.
A block holds consecutive columns of one row; d and m below are little-endian float16.

    Q8_0   d, 32 int8
    Q4_0   d, 32 nibbles: the low ones of 16 bytes are columns 0-15, the high ones columns 16-31
    Q4_1   d, m, nibbles as in Q4_0
    Q5_0   d, 32 fifth bits, nibbles
    Q5_1   d, m, 32 fifth bits, nibbles
    Q4_K   d, m, eight 6-bit scales and minimums in 12 bytes, 256 nibbles: of 32 bytes first the low, then the high ones
    Q5_K   as Q4_K with 32 bytes of fifth bits: bit g of byte c belongs to column c of group g
    Q6_K   256 nibbles, 256 pairs of high bits, sixteen int8 scales, d
    MXFP4  e, nibbles as in Q4_0

MXFP4 is explained in `mxfp4.py`; twice a float of four bits is the code here, and half its scale the scale. The other
two are ours, for what `checkpoints/quantised` assembles, and d is a float32 there:

    UINT4  d, z (a byte), nibbles as in Q4_0: d * (nibble - z)
    UINT8  d, z, 32 bytes: d * (byte - z)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from freehold.errors import UnsupportedTensorType
from freehold.tensors import mxfp4
from freehold.tensors.grouped import Float32Array, GroupedTensor
from freehold.tensors.types import BLOCK_FORMATS, TensorType

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.uint8] | npt.NDArray[np.int8]

# Blocks unpacked at a time: intermediate arrays stay around a megabyte, whatever the tensor's size.
BLOCKS_AT_A_TIME = 4096


@dataclass(frozen=True, slots=True)
class _Target:
    """Where some blocks are unpacked to: codes [blocks, columns], scales and minimums (if any) [blocks, groups]."""

    codes: Codes
    scales: Float32Array
    minimums: Float32Array


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a block format unpacks to, and the function that does it for blocks [blocks, bytes]."""

    bits: int
    group: int
    offset: int
    has_minimums: bool
    unpack: Callable[[Bytes, _Target], None]


def unpack(name: str, kind: TensorType, shape: tuple[int, ...], data: Bytes) -> GroupedTensor:
    """Unpack the raw bytes of a quantised tensor; `Tensor.grouped` is the usual way to call it.

    The result's dequantised values equal ggml's bit for bit.

    Args:
        name: for messages.
        shape: [..., columns]; the leading dimensions together become the rows of the result.
        data: the tensor's bytes.

    Raises:
        UnsupportedTensorType: the type is not one of the quantised types above.
        CheckpointError: a scale of MXFP4 is NaN.
    """
    layout = _LAYOUTS.get(kind)
    if layout is None:
        raise UnsupportedTensorType(
            f"tensor {name!r} is stored as {kind}, which is not a quantised type that we unpack",
            hint="supported: " + ", ".join(_LAYOUTS),
        )
    block = BLOCK_FORMATS[kind]
    blocks = data.reshape(-1, block.bytes)
    if kind is TensorType.MXFP4:
        mxfp4.check_scales(name, blocks[:, 0])
    unsigned = np.empty((len(blocks), block.elements), np.uint8)
    codes = unsigned if layout.bits == 4 else unsigned.view(np.int8)
    scales = np.empty((len(blocks), block.elements // layout.group), np.float32)
    minimums = np.empty((len(blocks), scales.shape[1] if layout.has_minimums else 0), np.float32)
    with np.errstate(invalid="ignore"):  # an infinite scale times zero is NaN, as in ggml
        for start in range(0, len(blocks), BLOCKS_AT_A_TIME):
            some = slice(start, start + BLOCKS_AT_A_TIME)
            layout.unpack(blocks[some], _Target(codes[some], scales[some], minimums[some]))
    rows, columns = prod(shape[:-1]), shape[-1]
    return GroupedTensor(
        codes=codes.reshape(rows, columns),
        scales=scales.reshape(rows, columns // layout.group),
        minimums=minimums.reshape(rows, columns // layout.group) if layout.has_minimums else None,
        bits=layout.bits,
        group=layout.group,
        offset=layout.offset,
    )


def _q8_0(blocks: Bytes, target: _Target) -> None:
    target.scales[:] = _halves(blocks[:, :2])
    target.codes[:] = blocks[:, 2:].view(np.int8)


def _q4_0(blocks: Bytes, target: _Target) -> None:
    target.scales[:] = _halves(blocks[:, :2])
    _nibbles(blocks[:, 2:], target.codes)


def _q4_1(blocks: Bytes, target: _Target) -> None:
    target.scales[:] = _halves(blocks[:, :2])
    target.minimums[:] = _halves(blocks[:, 2:4])
    _nibbles(blocks[:, 4:], target.codes)


def _q5_0(blocks: Bytes, target: _Target) -> None:
    target.scales[:] = _halves(blocks[:, :2])
    _nibbles(blocks[:, 6:], target.codes)
    _add_fifth_bits(blocks[:, 2:6], target.codes)
    np.subtract(target.codes, np.int8(16), out=target.codes)


def _q5_1(blocks: Bytes, target: _Target) -> None:
    target.scales[:] = _halves(blocks[:, :2])
    target.minimums[:] = _halves(blocks[:, 2:4])
    _nibbles(blocks[:, 8:], target.codes)
    _add_fifth_bits(blocks[:, 4:8], target.codes)


def _q4_k(blocks: Bytes, target: _Target) -> None:
    _six_bit_scales(blocks, target)
    _nibbles(blocks[:, 16:].reshape(-1, 4, 32), target.codes.reshape(-1, 4, 64))


def _q5_k(blocks: Bytes, target: _Target) -> None:
    _six_bit_scales(blocks, target)
    _nibbles(blocks[:, 48:].reshape(-1, 4, 32), target.codes.reshape(-1, 4, 64))
    groups = np.arange(8, dtype=np.uint8)[:, None]
    fifth = (blocks[:, None, 16:48] >> groups) & np.uint8(1)  # [blocks, 8, 32]
    target.codes.reshape(-1, 8, 32)[:] |= (fifth << np.uint8(4)).view(np.int8)


def _q6_k(blocks: Bytes, target: _Target) -> None:
    # Each half of 128 columns has 64 bytes of nibbles and 32 bytes of high bits, for four runs of 32 columns.
    low = blocks[:, :128].reshape(-1, 2, 1, 64) >> np.array([[0], [4]], np.uint8) & np.uint8(15)
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([[0], [2], [4], [6]], np.uint8) & np.uint8(3)
    codes = low.reshape(-1, 2, 4, 32) | high << np.uint8(4)
    np.subtract(codes.reshape(-1, 256).view(np.int8), np.int8(32), out=target.codes)
    group_scales = blocks[:, 192:208].view(np.int8).astype(np.float32)
    target.scales[:] = _halves(blocks[:, 208:]) * group_scales


def _mxfp4(blocks: Bytes, target: _Target) -> None:
    nibbles, scales = mxfp4.nibbles_and_scales(blocks)
    target.codes[:] = mxfp4.TWICE_VALUES[nibbles.reshape(target.codes.shape)]
    np.ldexp(np.float32(1), scales.astype(np.int32)[:, None] - 128, out=target.scales)


def _uint4(blocks: Bytes, target: _Target) -> None:
    _scale_and_zero(blocks, target, 0)
    _nibbles(blocks[:, 5:], target.codes)


def _uint8(blocks: Bytes, target: _Target) -> None:
    # Codes are signed here, so 128 is taken off both sides.
    _scale_and_zero(blocks, target, 128)
    np.subtract(blocks[:, 5:], np.uint8(128), out=target.codes.view(np.uint8))


_LAYOUTS = {
    TensorType.Q8_0: _Layout(8, 32, 0, False, _q8_0),
    TensorType.Q4_0: _Layout(4, 32, 8, False, _q4_0),
    TensorType.Q4_1: _Layout(4, 32, 0, True, _q4_1),
    TensorType.Q5_0: _Layout(8, 32, 0, False, _q5_0),
    TensorType.Q5_1: _Layout(8, 32, 0, True, _q5_1),
    TensorType.Q4_K: _Layout(4, 32, 0, True, _q4_k),
    TensorType.Q5_K: _Layout(8, 32, 0, True, _q5_k),
    TensorType.Q6_K: _Layout(8, 16, 0, False, _q6_k),
    TensorType.MXFP4: _Layout(8, 32, 0, False, _mxfp4),
    TensorType.UINT4: _Layout(4, 32, 0, True, _uint4),
    TensorType.UINT8: _Layout(8, 32, 0, True, _uint8),
}


def _scale_and_zero(blocks: Bytes, target: _Target, taken_off: int) -> None:
    target.scales[:] = np.ascontiguousarray(blocks[:, :4]).view("<f4")
    np.multiply(target.scales, taken_off - blocks[:, 4:5].astype(np.float32), out=target.minimums)


def _halves(data: Bytes) -> Float32Array:
    """Little-endian float16 pairs of bytes [blocks, 2 n] -> [blocks, n] float32."""
    return np.ascontiguousarray(data).view("<f2").astype(np.float32)


def _nibbles(data: Bytes, codes: Codes) -> None:
    """Low halves of bytes [..., n] into codes [..., :n], high halves into codes [..., n:]."""
    half = data.shape[-1]
    unsigned = codes.view(np.uint8)
    np.bitwise_and(data, np.uint8(15), out=unsigned[..., :half])
    np.right_shift(data, np.uint8(4), out=unsigned[..., half:])


def _add_fifth_bits(data: Bytes, codes: Codes) -> None:
    """Bits of [blocks, 4] bytes, lowest first, become the fifth bits of codes [blocks, 32]."""
    bits = np.unpackbits(data, axis=1, bitorder="little")
    codes |= (bits << np.uint8(4)).view(np.int8)


def _six_bit_scales(blocks: Bytes, target: _Target) -> None:
    """Scales and minimums of Q4_K and Q5_K.

    The first four are the low six bits of bytes 0-3 (scales) and 4-7 (minimums); the last four have their low four
    bits in bytes 8-11 (scale below, minimum above) and their upper two in the top bits of bytes 0-7.
    """
    packed = blocks[:, 4:16]
    first_scales, first_minimums, last = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([first_scales & 63, (last & 15) | (first_scales >> 6 << 4)], axis=1)
    minimums = np.concatenate([first_minimums & 63, (last >> 4) | (first_minimums >> 6 << 4)], axis=1)
    np.multiply(_halves(blocks[:, :2]), scales.astype(np.float32), out=target.scales)
    np.multiply(-_halves(blocks[:, 2:4]), minimums.astype(np.float32), out=target.minimums)
