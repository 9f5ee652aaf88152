"""A tensor as a checkpoint stores it: a name, a shape, a type and raw bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

from freehold.tensors import float8, mxfp4
from freehold.tensors.grouped import Float32Array, GroupedTensor
from freehold.tensors.types import BLOCK_FORMATS, FLOAT_TYPES, TensorType
from freehold.tensors.unpack import unpack

Scale = TypeVar("Scale", np.float32, np.uint8)
Scales: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Name, shape (outermost dimension first) and storage type of a tensor, without its bytes."""

    name: str
    shape: tuple[int, ...]
    type: TensorType

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size of `Tensor.data`. Columns fill whole blocks; the readers check that before they hand out a tensor."""
        block = BLOCK_FORMATS[self.type]
        return self.elements // block.elements * block.bytes


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A tensor with its raw bytes, which usually still lie in a memory-mapped file.

    Attributes:
        info: name, shape and type.
        data: [info.bytes] uint8, read-only when memory-mapped; aligned to the size of one value of a float type.
        scales: of the two types that keep them beside the codes, with a row for each row of the tensor: [rows,
            columns / 128 rounded up] float32 for FP8, [rows, columns / 32] uint8 for MXFP4_APART. None for all others.
    """

    info: TensorInfo
    data: npt.NDArray[np.uint8]
    scales: Scales | None = None

    @staticmethod
    def from_array(name: str, array: npt.NDArray[np.float32] | npt.NDArray[np.float16]) -> Tensor:
        """Wrap a float32 or float16 array without copying it when it is contiguous."""
        kind = TensorType.F16 if array.dtype == np.float16 else TensorType.F32
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return Tensor(TensorInfo(name, tuple(array.shape), kind), flat)

    def float32(self) -> Float32Array:
        """Values as float32 in the tensor's shape; dequantised where the type is quantised."""
        if self.info.type in FLOAT_TYPES:
            return _widen(self.data, self.info.type).reshape(self.info.shape)
        if self.info.type is TensorType.FP8:
            return float8.dequantised(*self.float8()).reshape(self.info.shape)
        return self.grouped().float32().reshape(self.info.shape)

    def grouped(self) -> GroupedTensor:
        """Unpack a quantised tensor, exactly: its dequantised values do not change.

        Raises:
            UnsupportedTensorType: the tensor is not stored in a quantised type, or in FP8, whose codes are no integers.
            CheckpointError: a scale of MXFP4 is NaN.
        """
        blocks = self.in_blocks()
        return unpack(self.info.name, blocks.info.type, self.info.shape, blocks.data)

    def in_blocks(self) -> Tensor:
        """MXFP4_APART as MXFP4, whose blocks hold their scales; any other tensor as it is."""
        if self.info.type is not TensorType.MXFP4_APART:
            return self
        return Tensor(replace(self.info, type=TensorType.MXFP4), mxfp4.joined(self.data, self._scales(np.uint8)))

    def float8(self) -> tuple[npt.NDArray[np.uint8], Float32Array]:
        """Codes [rows, columns] and scales [rows, columns / 128 rounded up] of an FP8 tensor."""
        return self.data.reshape(-1, self.info.shape[-1]), self._scales(np.float32)

    def _scales(self, dtype: type[Scale]) -> npt.NDArray[Scale]:
        assert self.scales is not None  # whoever makes such a tensor gives it scales
        assert self.scales.dtype == dtype
        return cast("npt.NDArray[Scale]", self.scales)

    def take_rows(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Tensor:
        """The same tensor with its outermost dimension reordered. A row's bytes stay as they are, whatever the type."""
        order = np.asarray(rows)
        picked = np.ascontiguousarray(self.data.reshape(self.info.shape[0], -1)[order])
        info = replace(self.info, shape=(len(order), *self.info.shape[1:]))
        return Tensor(info, picked.reshape(-1), self._scales_of(order))

    def take_columns(self, columns: npt.NDArray[np.int64]) -> Tensor:
        """The same matrix with its columns reordered; quantised ones become float32, since their blocks lie there."""
        if self.info.type not in FLOAT_TYPES:
            return Tensor.from_array(self.info.name, np.ascontiguousarray(self.float32()[:, columns]))
        words = self.data.view(f"<u{BLOCK_FORMATS[self.info.type].bytes}").reshape(self.info.shape)
        return Tensor(self.info, np.ascontiguousarray(words[:, columns]).reshape(-1).view(np.uint8))

    def slice_rows(self, first: int, last: int) -> Tensor:
        """Indices [first, last) of the outermost dimension, without a copy."""
        rows = self.data.reshape(self.info.shape[0], -1)[first:last]
        info = replace(self.info, shape=(last - first, *self.info.shape[1:]))
        return Tensor(info, rows.reshape(-1), self._scales_of(slice(first, last)))

    def _scales_of(self, rows: slice | npt.NDArray[np.int64]) -> Scales | None:
        """The scales of some indices of the outermost dimension."""
        if self.scales is None:
            return None
        picked: Scales = self.scales.reshape(self.info.shape[0], -1, self.scales.shape[-1])[rows]
        return picked.reshape(-1, self.scales.shape[-1])

    def part(self, index: int) -> Tensor:
        """The tensor at an index of the outermost dimension, without a copy."""
        return self.slice_rows(index, index + 1).reshape(self.info.shape[1:])

    def reshape(self, shape: tuple[int, ...]) -> Tensor:
        """The same bytes in another shape; the columns of a quantised tensor stay together."""
        if prod(shape) != self.info.elements:
            raise ValueError(f"{self.info.name!r} has {self.info.elements} elements, which do not fill {shape}")
        return replace(self, info=replace(self.info, shape=shape))

    def transpose(self) -> Tensor:
        """Rows for columns; a quantised tensor becomes float32, since its blocks lie along the rows."""
        if self.info.type not in FLOAT_TYPES:
            return Tensor.from_array(self.info.name, np.ascontiguousarray(self.float32().T))
        words = self.data.view(f"<u{BLOCK_FORMATS[self.info.type].bytes}").reshape(self.info.shape)
        turned = np.ascontiguousarray(words.T).reshape(-1).view(np.uint8)
        return Tensor(replace(self.info, shape=self.info.shape[::-1]), turned)

    def renamed(self, name: str) -> Tensor:
        """The same tensor under another name."""
        return replace(self, info=replace(self.info, name=name))

    @staticmethod
    def stack(tensors: Sequence[Tensor]) -> Tensor:
        """Tensors one after the other along their outermost dimension; float32 where their types differ."""
        if len(tensors) == 1:
            return tensors[0]
        if len({tensor.info.type for tensor in tensors}) > 1:
            tensors = [Tensor.from_array(tensor.info.name, tensor.float32()) for tensor in tensors]
        first = tensors[0].info
        rows = sum(tensor.info.shape[0] for tensor in tensors)
        data = np.concatenate([tensor.data for tensor in tensors])
        beside = [tensor.scales for tensor in tensors if tensor.scales is not None]
        scales = cast(Scales, np.concatenate(beside)) if beside else None
        return Tensor(replace(first, shape=(rows, *first.shape[1:])), data, scales)


def _widen(data: npt.NDArray[np.uint8], kind: TensorType) -> Float32Array:
    """Raw little-endian floats of any width as float32; exact but for float64, which is rounded, or infinite beyond."""
    if kind is TensorType.BF16:
        return (data.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    source = {TensorType.F64: "<f8", TensorType.F32: "<f4", TensorType.F16: "<f2"}[kind]
    with np.errstate(over="ignore", invalid="ignore"):
        return data.view(source).astype(np.float32, copy=False)
