"""The CPU backend: NumPy arrays and the C++ kernels of `freehold._kernels`."""

from freehold.ops.native.cache import CacheType, NativeLayerCache
from freehold.ops.native.ops import NativeOps

__all__ = ["CacheType", "NativeLayerCache", "NativeOps"]
