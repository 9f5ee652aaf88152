"""What the kernels compute, in NumPy and float64, and makers of random input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from freehold import _kernels
from freehold.ops.native import NativeOps
from freehold.tensors import ASSEMBLED_TYPES, BLOCK_FORMATS, QUANTISED_TYPES, Tensor, TensorInfo, TensorType, WeightType

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

QUANTISED = sorted(QUANTISED_TYPES | ASSEMBLED_TYPES)
FLOATS = [TensorType.F32, TensorType.F16, TensorType.BF16]

# Where the float16 scales of a block are, in bytes.
_SCALES = {TensorType.Q6_K: (208,), TensorType.Q8_0: (0,), TensorType.Q4_0: (0,), TensorType.Q5_0: (0,)}


def random_values(seed: int, *shape: int) -> Float32Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def random_tensor(seed: int, kind: TensorType, rows: int, columns: int) -> Tensor:
    """Random bytes in a storage type, with scales around 0.01. Columns must fill whole blocks."""
    rng = np.random.default_rng(seed)
    info = TensorInfo("weight", (rows, columns), kind)
    if kind in FLOATS:
        values = rng.standard_normal((rows, columns), dtype=np.float32)
        if kind is TensorType.BF16:
            return Tensor(info, (values.view(np.uint32) >> 16).astype(np.uint16).reshape(-1).view(np.uint8))
        return Tensor.from_array("weight", values if kind is TensorType.F32 else values.astype(np.float16))
    if kind in _MAKERS:
        return _MAKERS[kind](rng, info)
    block = BLOCK_FORMATS[kind]
    blocks = rng.integers(0, 256, (info.bytes // block.bytes, block.bytes), np.uint8)
    for at in _SCALES.get(kind, (0, 2)):
        scales = (rng.standard_normal(len(blocks)) * 0.01).astype(np.float16)
        blocks[:, at : at + 2] = scales[:, None].view(np.uint8)
    return Tensor(info, blocks.reshape(-1))


def _random_mxfp4(rng: np.random.Generator, info: TensorInfo) -> Tensor:
    blocks = rng.integers(0, 256, (info.elements // 32, 17), np.uint8)
    blocks[:, 0] = rng.integers(115, 123, len(blocks))
    if info.type is TensorType.MXFP4:
        return Tensor(info, blocks.reshape(-1))
    return Tensor(info, np.ravel(blocks[:, 1:]), blocks[:, 0].reshape(info.shape[0], -1))


def _random_float8(rng: np.random.Generator, info: TensorInfo) -> Tensor:
    codes = rng.integers(0, 256, info.elements, np.uint8)
    codes[codes & 0x7F == 0x7F] = 0
    scales = rng.standard_normal((info.shape[0], -(-info.shape[1] // 128)), dtype=np.float32)
    return Tensor(info, codes, scales * np.float32(0.01))


def _random_with_zeros(rng: np.random.Generator, info: TensorInfo) -> Tensor:
    """Half-precision scales, as released weights have them."""
    bytes_each = BLOCK_FORMATS[info.type].bytes
    blocks = rng.integers(0, 256, (info.elements // 32, bytes_each), np.uint8)
    scales = (rng.standard_normal(len(blocks)) * 0.01).astype(np.float16).astype(np.float32)
    blocks[:, :4] = scales[:, None].view(np.uint8)
    return Tensor(info, blocks.reshape(-1))


_MAKERS: dict[TensorType, Callable[[np.random.Generator, TensorInfo], Tensor]] = {
    TensorType.MXFP4: _random_mxfp4,
    TensorType.MXFP4_APART: _random_mxfp4,
    TensorType.FP8: _random_float8,
    TensorType.UINT4: _random_with_zeros,
    TensorType.UINT8: _random_with_zeros,
}


def columns_for(kind: TensorType, columns: int) -> int:
    """The next number of columns that fills whole blocks."""
    block = BLOCK_FORMATS[kind].elements
    return -(-columns // block) * block


def pack(tensor: Tensor, dtype: WeightType | None = None) -> _kernels.LinearWeight:
    return NativeOps().pack_linear([tensor], None, dtype)


def all_rows(weight: _kernels.LinearWeight) -> Float32Array:
    """The weight, dequantised."""
    return NativeOps().embed(weight, np.arange(weight.outputs, dtype=np.int32))


def quantised_activations(x: Float32Array) -> Float64Array:
    """x after rounding to 8 bits in blocks of 32, as the kernels do it."""
    columns = x.shape[1]
    blocks = np.pad(x, ((0, 0), (0, -columns % 32))).reshape(len(x), -1, 32)
    largest = np.abs(blocks).max(axis=2, keepdims=True)
    used = np.where(largest > 0, largest, np.float32(1))
    codes = np.rint(blocks * (np.float32(127) / used)).astype(np.float64)
    result: Float64Array = (codes * (largest / np.float32(127))).reshape(len(x), -1)[:, :columns]
    return result


def linear(x: Float32Array, weight: _kernels.LinearWeight) -> Float64Array:
    """The product that a kernel should give, for a weight of one part."""
    quantised = weight.parts[0].format not in ("f32", "f16", "bf16", "fp8")
    activations = quantised_activations(x) if quantised else x.astype(np.float64)
    return activations @ all_rows(weight).astype(np.float64).T
