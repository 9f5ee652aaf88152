"""The types a tensor can be stored in, and how many bytes each takes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TensorType(StrEnum):
    """Storage type of a tensor, under the name that safetensors or GGUF gives it.

    First the types that we read from files; then those of tensors that a quantised checkpoint keeps in several pieces,
    which `checkpoints/quantised` presents as one; then those that are only listed: a weight map may drop such a tensor
    by name, reading one is an UnsupportedTensorType.
    """

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
    MXFP4 = "MXFP4"

    FP8 = "FP8"
    MXFP4_APART = "MXFP4_APART"
    UINT4 = "UINT4"
    UINT8 = "UINT8"

    BOOL = "BOOL"
    I8 = "I8"
    U8 = "U8"
    I16 = "I16"
    U16 = "U16"
    I32 = "I32"
    U32 = "U32"
    I64 = "I64"
    U64 = "U64"
    C64 = "C64"
    F8_E4M3 = "F8_E4M3"
    F8_E5M2 = "F8_E5M2"
    F8_E8M0 = "F8_E8M0"
    F8_E4M3FNUZ = "F8_E4M3FNUZ"
    F8_E5M2FNUZ = "F8_E5M2FNUZ"
    F6_E2M3 = "F6_E2M3"
    F6_E3M2 = "F6_E3M2"
    F4 = "F4"


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """How a storage type lays out its elements along a row.

    Attributes:
        elements: consecutive columns in one block (1 for the plain types).
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
    TensorType.MXFP4: BlockFormat(32, 17),
    # The codes only: the scales lie in an array of their own.
    TensorType.FP8: BlockFormat(1, 1),
    TensorType.MXFP4_APART: BlockFormat(32, 16),
    TensorType.UINT4: BlockFormat(32, 21),
    TensorType.UINT8: BlockFormat(32, 37),
    TensorType.BOOL: BlockFormat(1, 1),
    TensorType.I8: BlockFormat(1, 1),
    TensorType.U8: BlockFormat(1, 1),
    TensorType.I16: BlockFormat(1, 2),
    TensorType.U16: BlockFormat(1, 2),
    TensorType.I32: BlockFormat(1, 4),
    TensorType.U32: BlockFormat(1, 4),
    TensorType.I64: BlockFormat(1, 8),
    TensorType.U64: BlockFormat(1, 8),
    TensorType.C64: BlockFormat(1, 8),
    TensorType.F8_E4M3: BlockFormat(1, 1),
    TensorType.F8_E5M2: BlockFormat(1, 1),
    TensorType.F8_E8M0: BlockFormat(1, 1),
    TensorType.F8_E4M3FNUZ: BlockFormat(1, 1),
    TensorType.F8_E5M2FNUZ: BlockFormat(1, 1),
    TensorType.F6_E2M3: BlockFormat(4, 3),
    TensorType.F6_E3M2: BlockFormat(4, 3),
    TensorType.F4: BlockFormat(2, 1),
}

FLOAT_TYPES = frozenset({TensorType.F64, TensorType.F32, TensorType.F16, TensorType.BF16})

# GGUF's block formats.
QUANTISED_TYPES = frozenset(
    {
        TensorType.Q8_0,
        TensorType.Q4_0,
        TensorType.Q4_1,
        TensorType.Q5_0,
        TensorType.Q5_1,
        TensorType.Q4_K,
        TensorType.Q5_K,
        TensorType.Q6_K,
        TensorType.MXFP4,
    }
)

READABLE_TYPES = FLOAT_TYPES | QUANTISED_TYPES

# No file has tensors of these types. A row of theirs is a row of what the checkpoint keeps in several tensors.
ASSEMBLED_TYPES = frozenset({TensorType.FP8, TensorType.MXFP4_APART, TensorType.UINT4, TensorType.UINT8})

# Columns of FP8 that share a scale.
FP8_GROUP = 128


class WeightType(StrEnum):
    """What `dtype=` may ask the weights of the linear layers to be held in."""

    Q4 = "q4"
    Q8 = "q8"
    F16 = "f16"
    F32 = "f32"


FOUR_BIT_TYPES = frozenset(
    {
        TensorType.Q4_0,
        TensorType.Q4_1,
        TensorType.Q4_K,
        TensorType.MXFP4,
        TensorType.MXFP4_APART,
        TensorType.UINT4,
    }
)
_KEPT = {WeightType.Q8: QUANTISED_TYPES | ASSEMBLED_TYPES, WeightType.Q4: FOUR_BIT_TYPES}


def keeps_codes(stored: TensorType, asked: WeightType) -> bool:
    """Whether a stored tensor is narrow enough already, so that asking for a type changes none of its values."""
    return stored in _KEPT.get(asked, frozenset())
