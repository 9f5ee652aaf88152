"""Weights as tensors: every storage type becomes floats of the compute type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from freehold.tensors import Tensor, WeightType, keeps_codes

BITS = {WeightType.Q4: 4, WeightType.Q8: 8}


@dataclass(eq=False)
class TorchLinear:
    """A projection.

    Attributes:
        weight: [outputs, inputs].
        bias: [outputs] or None.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None


def to_torch(tensor: Tensor, device: torch.device, compute: torch.dtype) -> torch.Tensor:
    """The tensor's values on the device; quantised types are dequantised."""
    return torch.from_numpy(np.array(tensor.float32())).to(device=device, dtype=compute)


def as_type(tensor: Tensor, dtype: WeightType | None) -> Tensor:
    """The tensor after the rounding that holding it as `dtype` means; the values stay floats.

    The values are those that the native backend holds.
    """
    if dtype is None or dtype is WeightType.F32 or keeps_codes(tensor.info.type, dtype):
        return tensor
    values = tensor.float32()
    if dtype is WeightType.F16:
        return Tensor.from_array(tensor.info.name, values.astype(np.float16))
    from freehold.tensors.quantise import pad_columns, quantise  # only where quantised weights are asked for

    rounded = quantise(pad_columns(values, 32), BITS[dtype]).float32()[:, : values.shape[1]]
    return Tensor.from_array(tensor.info.name, rounded)


def pack_linear(
    parts: Sequence[Tensor],
    bias: Sequence[Tensor | None] | None,
    dtype: WeightType | None,
    device: torch.device,
    compute: torch.dtype,
) -> TorchLinear:
    """Stack parts and biases along their rows; see `Ops.pack_linear`."""
    weight = torch.cat([to_torch(as_type(part, dtype), device, compute) for part in parts])
    if bias is None:
        return TorchLinear(weight, None)
    stacked = [
        torch.zeros(part.info.shape[0], device=device, dtype=compute) if one is None else to_torch(one, device, compute)
        for part, one in zip(parts, bias, strict=True)
    ]
    return TorchLinear(weight, torch.cat(stacked))
