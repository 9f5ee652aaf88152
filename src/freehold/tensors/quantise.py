"""From float32 to stored types: quantisation in groups of 32, and the bytes that files hold.

Scales are rounded to float16 before codes are chosen, so what is quantised here is written as Q8_0 or Q4_0 without
further loss, and the codes make up for the rounding of the scale.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from freehold.errors import CheckpointError
from freehold.tensors.grouped import Float32Array, GroupedTensor
from freehold.tensors.types import TensorType

GROUP = 32

# Groups quantised at a time: a quarter of a megabyte of values, so that the dozen passes over them stay in the cache.
GROUPS_AT_A_TIME = 2048

# Codes that the value of largest magnitude is tried at before the best scale is computed. Plain Q4_0 puts it at -8.
# Over Gaussian, Laplace, Student-t and uniform weights these six reduce the squared error by 8 to 16 %; 38 finer steps
# gain a further one per cent for eight times the work.
PEAK_CODES = (-8.0, -8.6, -7.3, -6.7, -6.0, 7.0)

# Scales below are zero in float16, and the inverse of a smaller one could overflow float32.
LEAST_SCALE = np.float32(1e-30)

Bytes = npt.NDArray[np.uint8]


def quantise(values: Float32Array, bits: int) -> GroupedTensor:
    """Quantise along rows in groups of 32 that share a scale; every scale is exactly representable in float16.

    With 8 bits the scale is the largest magnitude over 127, as in Q8_0. With 4 bits, codes 0..15 with offset 8 as in
    Q4_0, the scale is searched: for each of a few scales the codes are rounded, the least-squares scale for those
    codes follows in closed form, and the one with the smallest squared error wins.

    Args:
        values: [rows, columns] float32, columns a multiple of 32 (see `pad_columns`).
        bits: 4 or 8.

    Raises:
        CheckpointError: a value is not finite, or too large for a float16 scale.
        ValueError: bits or the shape are not as above.
    """
    if bits not in (4, 8):
        raise ValueError(f"bits is {bits}; expected 4 or 8")
    rows, columns = values.shape
    if columns % GROUP:
        raise ValueError(f"{columns} columns are not a multiple of {GROUP}")
    find_scales, offset = (_scales4, 8) if bits == 4 else (_scales8, 0)
    groups = np.ascontiguousarray(values, np.float32).reshape(-1, GROUP)
    unsigned = np.empty(groups.shape, np.uint8)
    codes = unsigned if bits == 4 else unsigned.view(np.int8)
    scales = np.empty(len(groups), np.float32)
    for start in range(0, len(groups), GROUPS_AT_A_TIME):
        some = slice(start, start + GROUPS_AT_A_TIME)
        scales[some] = find_scales(groups[some])
        codes[some] = _rounded(groups[some], scales[some], bits) + np.float32(offset)
    return GroupedTensor(
        codes=codes.reshape(rows, columns),
        scales=scales.reshape(rows, columns // GROUP),
        minimums=None,
        bits=bits,
        group=GROUP,
        offset=offset,
    )


def pad_columns(values: Float32Array, multiple: int) -> Float32Array:
    """Zeros to the right of [rows, columns] until columns are a multiple; the array itself where they already are."""
    missing = -values.shape[1] % multiple
    return np.pad(values, ((0, 0), (0, missing))) if missing else values


def encode(values: Float32Array | GroupedTensor, kind: TensorType) -> Bytes:
    """The raw bytes of a tensor in a storage type: F32, F16, BF16, Q8_0 or Q4_0.

    Floats are rounded to nearest, ties to even; floats to Q8_0 or Q4_0 go through `quantise`. Grouped values to F32,
    F16 or BF16 are dequantised first; to Q8_0 or Q4_0 their codes are kept.

    Args:
        values: float32 of any shape (columns last, a multiple of 32 for the quantised types), or grouped values.

    Returns:
        [bytes] uint8.

    Raises:
        CheckpointError: the type cannot hold the values (beyond float16's range, or groups that Q8_0 or Q4_0
            cannot hold without loss).
        ValueError: kind is none of the five types.
    """
    match kind:
        case TensorType.F32 | TensorType.F16 | TensorType.BF16:
            floats = values.float32() if isinstance(values, GroupedTensor) else values
            return _encode_floats(floats, kind)
        case TensorType.Q8_0 | TensorType.Q4_0:
            bits = 8 if kind is TensorType.Q8_0 else 4
            if not isinstance(values, GroupedTensor):
                values = quantise(values.reshape(-1, values.shape[-1]), bits)
            return _encode_groups(values, bits, kind)
    raise ValueError(f"we do not write {kind}; expected F32, F16, BF16, Q8_0 or Q4_0")


def _scales8(groups: Float32Array) -> Float32Array:
    largest = np.abs(groups).max(axis=1)
    _check_range(largest, 127)
    scales = _to_float16(largest / np.float32(127))
    # Only subnormal scales are rounded down so far that the largest value would be cut off.
    cut = scales.astype(np.float32) * np.float32(127.5) < largest
    scales[cut] = np.nextafter(scales[cut], np.float16(np.inf))
    return scales.astype(np.float32)


def _scales4(groups: Float32Array) -> Float32Array:
    peaks = np.take_along_axis(groups, np.abs(groups).argmax(axis=1)[:, None], axis=1)[:, 0]
    _check_range(np.abs(peaks), 8)
    best_scales = np.zeros_like(peaks)
    best_gains = np.zeros_like(peaks)
    for code in PEAK_CODES:
        codes = _rounded(groups, peaks / np.float32(code), 4)
        products = np.einsum("ij,ij->i", groups, codes)
        squares = np.maximum(np.einsum("ij,ij->i", codes, codes), np.float32(1))  # all codes may be zero
        scales = products / squares
        # sum (x - s q)^2 = sum x^2 - (sum x q)^2 / sum q^2 at the least-squares s, so the largest last term wins.
        gains = scales * products
        better = gains > best_gains
        best_gains = np.where(better, gains, best_gains)
        best_scales = np.where(better, scales, best_scales)
    return _to_float16(best_scales).astype(np.float32)


def _rounded(groups: Float32Array, scales: Float32Array, bits: int) -> Float32Array:
    """Nearest whole multiples of the scales that signed codes of so many bits can hold, as float32."""
    usable = np.abs(scales) > LEAST_SCALE
    inverse = np.divide(np.float32(1), scales, out=np.zeros_like(scales), where=usable)
    codes = groups * inverse[:, None]
    np.rint(codes, out=codes)
    limit = 1 << (bits - 1)
    return np.clip(codes, -limit if bits == 4 else 1 - limit, limit - 1, out=codes)


def _check_range(magnitudes: Float32Array, largest_code: int) -> None:
    limit = float(np.finfo(np.float16).max) * largest_code
    if not (magnitudes <= limit).all():
        raise CheckpointError(
            f"a weight of magnitude {magnitudes.max():g} cannot be quantised; float16 scales reach up to {limit:g}",
            hint="the weights are damaged; keep them as f32 to look at them",
        )


def _to_float16(values: Float32Array) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float16)
    if not np.isfinite(narrow).all():
        raise CheckpointError(
            f"a value of magnitude {np.abs(values).max():g} cannot be held in float16, which reaches up to 65504",
            hint="keep the weights as f32 or bf16",
        )
    return narrow


def _encode_floats(values: Float32Array, kind: TensorType) -> Bytes:
    flat = np.ascontiguousarray(values, "<f4").reshape(-1)
    if kind is TensorType.F32:
        return flat.view(np.uint8)
    if kind is TensorType.F16:
        return _to_float16(flat).astype("<f2", copy=False).view(np.uint8)
    bits = flat.view("<u4")
    nearest = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16
    quiet = bits >> 16 | np.uint32(0x40)  # adding to a NaN's bits could turn it into infinity
    return np.where(np.isnan(flat), quiet, nearest).astype("<u2").view(np.uint8)


def _encode_groups(values: GroupedTensor, bits: int, kind: TensorType) -> Bytes:
    half_scales = _to_float16(values.scales).reshape(-1)
    if (
        values.group != GROUP
        or values.minimums is not None
        or not np.array_equal(half_scales.astype(np.float32), values.scales.reshape(-1))
    ):
        raise _not_without_loss(values, kind)
    codes = values.codes.reshape(-1, GROUP)
    blocks = np.empty((len(codes), 2 + GROUP * bits // 8), np.uint8)
    blocks[:, :2] = half_scales.astype("<f2", copy=False).reshape(-1, 1).view(np.uint8)
    limit = 1 << (bits - 1)
    for start in range(0, len(codes), GROUPS_AT_A_TIME):
        some = slice(start, start + GROUPS_AT_A_TIME)
        signed = codes[some].astype(np.int16) - values.offset
        if not -limit <= signed.min() <= signed.max() < limit:
            raise _not_without_loss(values, kind)
        if bits == 4:
            nibbles = (signed + 8).astype(np.uint8)
            blocks[some, 2:] = nibbles[:, :16] | nibbles[:, 16:] << 4
        else:
            blocks[some, 2:] = signed.astype(np.int8).view(np.uint8)
    return blocks.reshape(-1)


def _not_without_loss(values: GroupedTensor, kind: TensorType) -> CheckpointError:
    return CheckpointError(
        f"groups of {values.group} with {values.bits}-bit codes cannot be written as {kind} without loss",
        hint="write them as F16, or quantise the dequantised values again",
    )
