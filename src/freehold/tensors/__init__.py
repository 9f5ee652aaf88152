"""Tensors as they are stored: types, raw bytes, exact unpacking, quantisation. NumPy only, no files."""

from freehold.tensors.tensor import GroupedTensor, Tensor, TensorInfo
from freehold.tensors.types import BLOCK_FORMATS, FLOAT_TYPES, TensorType, WeightType

__all__ = ["BLOCK_FORMATS", "FLOAT_TYPES", "GroupedTensor", "Tensor", "TensorInfo", "TensorType", "WeightType"]
