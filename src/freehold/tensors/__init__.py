"""Tensors as they are stored: types, raw bytes, exact unpacking, quantisation. NumPy only, no files."""

from freehold.tensors.grouped import Float32Array, GroupedTensor
from freehold.tensors.tensor import Tensor, TensorInfo
from freehold.tensors.types import (
    ASSEMBLED_TYPES,
    BLOCK_FORMATS,
    FLOAT_TYPES,
    FP8_GROUP,
    QUANTISED_TYPES,
    READABLE_TYPES,
    BlockFormat,
    TensorType,
    WeightType,
    keeps_codes,
)

__all__ = [
    "ASSEMBLED_TYPES",
    "BLOCK_FORMATS",
    "FLOAT_TYPES",
    "FP8_GROUP",
    "QUANTISED_TYPES",
    "READABLE_TYPES",
    "BlockFormat",
    "Float32Array",
    "GroupedTensor",
    "Tensor",
    "TensorInfo",
    "TensorType",
    "WeightType",
    "keeps_codes",
]
