"""The types a tensor can be stored in, and how many bytes each takes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TensorType(StrEnum):
    """Storage type of a tensor. The quantised ones are GGUF's block formats, under their own names."""

    F64 = "F64"
    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    Q8_0 = "Q8_0"
    Q4_0 = "Q4_0"
    Q4_1 = "Q4_1"
    Q5_0 = "Q5_0"
    Q5_1 = "Q5_1"
    Q4_K = "Q4_K"
    Q5_K = "Q5_K"
    Q6_K = "Q6_K"


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """How a storage type lays out its elements along a row.

    Attributes:
        elements: consecutive columns in one block (1 for the float types).
        bytes: size of one block.
    """

    elements: int
    bytes: int


BLOCK_FORMATS: dict[TensorType, BlockFormat] = {
    TensorType.F64: BlockFormat(1, 8),
    TensorType.F32: BlockFormat(1, 4),
    TensorType.F16: BlockFormat(1, 2),
    TensorType.BF16: BlockFormat(1, 2),
    TensorType.Q8_0: BlockFormat(32, 34),
    TensorType.Q4_0: BlockFormat(32, 18),
    TensorType.Q4_1: BlockFormat(32, 20),
    TensorType.Q5_0: BlockFormat(32, 22),
    TensorType.Q5_1: BlockFormat(32, 24),
    TensorType.Q4_K: BlockFormat(256, 144),
    TensorType.Q5_K: BlockFormat(256, 176),
    TensorType.Q6_K: BlockFormat(256, 210),
}

FLOAT_TYPES = frozenset({TensorType.F64, TensorType.F32, TensorType.F16, TensorType.BF16})


class WeightType(StrEnum):
    """What `dtype=` may ask the weights of the linear layers to be held in."""

    Q4 = "q4"
    Q8 = "q8"
    F16 = "f16"
    F32 = "f32"
