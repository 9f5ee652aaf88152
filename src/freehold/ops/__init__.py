"""Operations: the interface in `base`, our own kernels in `native`, PyTorch in `torch`."""

from __future__ import annotations

from freehold.errors import BackendUnavailable
from freehold.ops.base import CacheType, Ops

BACKENDS = ("native", "torch")


def create_ops(backend: str, *, exact: bool, cache_type: CacheType | None = None) -> Ops:
    """The operations of a backend.

    Args:
        backend: "native" (CPU, our kernels) or "torch" (CUDA where present, else CPU).
        exact: keep caches, and on CUDA weights and activations, in float32 rather than 16 bit.
        cache_type: what to keep caches in instead.

    Raises:
        BackendUnavailable: the name is unknown, or what the backend needs is not installed.
    """
    if backend == "native":
        from freehold.ops.native import NativeOps

        return NativeOps(cache_type or ("f32" if exact else "f16"))
    if backend == "torch":
        return _torch_ops(exact, cache_type)
    raise BackendUnavailable(f"backend {backend!r} is unknown; known: {', '.join(BACKENDS)}")


def _torch_ops(exact: bool, cache_type: CacheType | None) -> Ops:
    try:
        import torch
    except ImportError as error:
        raise BackendUnavailable(
            "backend 'torch' needs PyTorch, which is not installed", hint="pip install 'freehold[torch]'"
        ) from error
    from freehold.ops.torch import TorchOps

    if torch.cuda.is_available():
        return TorchOps("cuda", torch.float32 if exact else torch.bfloat16, cache_type)
    return TorchOps("cpu", torch.float32, cache_type)
