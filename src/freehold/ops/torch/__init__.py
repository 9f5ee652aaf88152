"""The operations on PyTorch, for GPUs and for training. Needs the extra `freehold[torch]`."""

from freehold.ops.torch.ops import TorchOps

__all__ = ["TorchOps"]
