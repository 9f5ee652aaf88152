"""How much memory a weight takes once it is packed, without packing it."""

from __future__ import annotations

from freehold.errors import UnsupportedTensorType
from freehold.ops.native.weights import BLOCK_COLUMNS, ROWS_PER_PANEL
from freehold.tensors import FLOAT_TYPES, FP8_GROUP, TensorInfo, TensorType, WeightType, keeps_codes

_FLOAT_BITS = {TensorType.F64: 32, TensorType.F32: 32, TensorType.F16: 16, TensorType.BF16: 16}
_ASKED_BITS = {WeightType.F32: 32.0, WeightType.F16: 16.0, WeightType.Q8: 8.5, WeightType.Q4: 4.5}
# Codes of 4 or 8 bits; a scale, and for some a minimum, for each 32 columns. Minimums of UINT4 and UINT8 are products
# that float16 cannot hold, so these take 32 bits each; the others take 16, and the scales of MXFP4 eight. The K types
# take a byte for each scale and minimum of 32 columns (16 in Q6_K), and one or two float16 for 256.
_KEPT_BITS = {
    TensorType.Q4_0: 4.5,
    TensorType.Q4_1: 5.0,
    TensorType.Q4_K: 4.625,
    TensorType.Q5_0: 8.5,
    TensorType.Q5_1: 9.0,
    TensorType.Q5_K: 5.625,
    TensorType.Q6_K: 6.5625,
    TensorType.Q8_0: 8.5,
    TensorType.MXFP4: 4.25,
    TensorType.MXFP4_APART: 4.25,
    TensorType.UINT4: 6.0,
    TensorType.UINT8: 10.0,
}


def held_bytes(info: TensorInfo, dtype: WeightType | None) -> int:
    """Bytes that a parameter takes in memory; for UINT4 and UINT8 the most that it can take.

    Args:
        info: how it is stored.
        dtype: as for `pack_linear` and `pack_experts`. Parameters that are no matrices are always float32.

    Raises:
        UnsupportedTensorType: it is stored in a type that we do not compute with.
    """
    if len(info.shape) != 2:
        return info.elements * 4
    rows, columns = info.shape
    padded_rows = -(-rows // ROWS_PER_PANEL) * ROWS_PER_PANEL
    if info.type is TensorType.FP8 and (dtype is None or keeps_codes(info.type, dtype)):
        return padded_rows * (columns + 4 * -(-columns // FP8_GROUP))
    bits = _bits(info, dtype)
    if bits not in _FLOAT_BITS.values():
        columns = -(-columns // BLOCK_COLUMNS) * BLOCK_COLUMNS
    return int(padded_rows * columns * bits / 8)


def _bits(info: TensorInfo, dtype: WeightType | None) -> float:
    if info.type in FLOAT_TYPES:
        return _FLOAT_BITS[info.type] if dtype is None else _ASKED_BITS[dtype]
    if info.type is TensorType.FP8 and dtype is not None:
        return _ASKED_BITS[dtype]
    if info.type not in _KEPT_BITS:
        raise UnsupportedTensorType(f"tensor {info.name!r} is stored as {info.type}, which cannot be computed with")
    return _KEPT_BITS[info.type] if dtype is None or keeps_codes(info.type, dtype) else _ASKED_BITS[dtype]
