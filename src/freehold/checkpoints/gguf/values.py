"""How GGUF stores metadata values and tensor types: the numbers that stand for them, from the format's description.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any

from freehold.checkpoints import limits
from freehold.tensors import TensorType

MAGIC = b"GGUF"
VERSION = 3
DEFAULT_ALIGNMENT = 32
MAX_DIMENSIONS = 4
ALIGNMENT_KEY = "general.alignment"
SPLIT_NUMBER_KEY = "split.no"
SPLIT_COUNT_KEY = "split.count"
SPLIT_TENSORS_KEY = "split.tensors.count"


class ValueType(IntEnum):
    """Type of a metadata value."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


UINT32 = struct.Struct("<I")
UINT64 = struct.Struct("<Q")

# A boolean is a byte, 0 or 1.
NUMBERS: dict[ValueType, struct.Struct] = {
    ValueType.UINT8: struct.Struct("<B"),
    ValueType.INT8: struct.Struct("<b"),
    ValueType.UINT16: struct.Struct("<H"),
    ValueType.INT16: struct.Struct("<h"),
    ValueType.UINT32: UINT32,
    ValueType.INT32: struct.Struct("<i"),
    ValueType.FLOAT32: struct.Struct("<f"),
    ValueType.BOOL: struct.Struct("<B"),
    ValueType.UINT64: UINT64,
    ValueType.INT64: struct.Struct("<q"),
    ValueType.FLOAT64: struct.Struct("<d"),
}

TENSOR_TYPES: dict[int, TensorType] = {
    0: TensorType.F32,
    1: TensorType.F16,
    2: TensorType.Q4_0,
    3: TensorType.Q4_1,
    6: TensorType.Q5_0,
    7: TensorType.Q5_1,
    8: TensorType.Q8_0,
    12: TensorType.Q4_K,
    13: TensorType.Q5_K,
    14: TensorType.Q6_K,
    24: TensorType.I8,
    25: TensorType.I16,
    26: TensorType.I32,
    27: TensorType.I64,
    28: TensorType.F64,
    30: TensorType.BF16,
    39: TensorType.MXFP4,
}
TENSOR_TYPE_NUMBERS: dict[TensorType, int] = {kind: number for number, kind in TENSOR_TYPES.items()}

# ggml's names of the types that we do not read, so that a refusal can say which one it met.
FOREIGN_TYPE_NAMES: dict[int, str] = {
    4: "Q4_2",
    5: "Q4_3",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    29: "IQ1_M",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    34: "TQ1_0",
    35: "TQ2_0",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
    40: "NVFP4",
    41: "Q1_0",
}


def is_alignment(value: Any) -> bool:
    """Whether a value may stand for `general.alignment`: a power of two, and not an absurd one."""
    return type(value) is int and 0 < value <= limits.MAX_ALIGNMENT and value & (value - 1) == 0
