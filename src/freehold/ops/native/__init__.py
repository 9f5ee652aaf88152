"""The CPU backend: NumPy arrays and the C++ kernels of `freehold._kernels`."""

from freehold.ops.native.cache import NativeCache, NativeLatentCache, NativeLayerCache
from freehold.ops.native.ops import NativeOps

__all__ = ["NativeCache", "NativeLatentCache", "NativeLayerCache", "NativeOps"]
