"""Linear attention with a gated delta rule, position by position."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from freehold.ops.base import DeltaCache, DeltaWeights
from freehold.ops.batch import Batch

LENGTH_EPSILON = 1e-6


@dataclass(eq=False)
class TorchStates:
    """States of one layer.

    Attributes:
        inputs: [slots, width - 1, channels], the latest inputs of the convolution.
        matrices: [slots, value_heads, key_dim, value_dim] float32.
    """

    inputs: torch.Tensor
    matrices: torch.Tensor

    @staticmethod
    def empty(shape: DeltaCache, slots: int, device: torch.device, compute: torch.dtype) -> TorchStates:
        return TorchStates(
            torch.zeros(slots, shape.width - 1, shape.channels, device=device, dtype=compute),
            torch.zeros(slots, shape.value_heads, shape.key_dim, shape.value_dim, device=device),
        )


def delta_rule(
    qkv: torch.Tensor,
    decay: torch.Tensor,
    beta: torch.Tensor,
    batch: Batch,
    states: TorchStates | None,
    *,
    weights: DeltaWeights,
    shape: DeltaCache,
) -> torch.Tensor:
    """One sequence after the other; see `Ops.delta_rule`."""
    results = []
    factors = torch.exp(weights.rates.float() * functional.softplus(decay.float() + weights.offsets.float()))
    strengths = beta.float().sigmoid()
    fresh = TorchStates.empty(shape, 1, qkv.device, qkv.dtype)
    for sequence in range(batch.sequences):
        rows = slice(int(batch.offsets[sequence]), int(batch.offsets[sequence + 1]))
        slot = -1 if states is None else int(batch.state_reads[sequence])
        source, index = (fresh, 0) if states is None or slot < 0 else (states, slot)
        before, matrix = source.inputs[index], source.matrices[index]
        extended = torch.cat([before, qkv[rows]])
        taps = weights.convolution.float()[None]
        mixed = functional.conv1d(extended.float().T[None], taps.transpose(0, 1), groups=shape.channels)[0].T
        q, k, v = _split(functional.silu(mixed), shape)
        outputs = []
        for row in range(len(q)):
            matrix = matrix * factors[rows][row, :, None, None]
            error = (v[row] - torch.einsum("hk,hkv->hv", k[row], matrix)) * strengths[rows][row, :, None]
            matrix = matrix + k[row, :, :, None] * error[:, None, :]
            outputs.append(torch.einsum("hk,hkv->hv", q[row], matrix))
        results.append(torch.stack(outputs).to(qkv.dtype))
        if states is not None:
            written = int(batch.state_writes[sequence])
            states.inputs[written] = extended[len(extended) - (shape.width - 1) :]
            states.matrices[written] = matrix
    return torch.cat(results)


def _split(mixed: torch.Tensor, shape: DeltaCache) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values of each value head, [rows, value_heads, key_dim or value_dim]."""
    keys = shape.key_heads * shape.key_dim
    q, k, v = torch.split(mixed, [keys, keys, shape.value_heads * shape.value_dim], -1)

    def unit(x: torch.Tensor) -> torch.Tensor:
        heads = x.reshape(-1, shape.key_heads, shape.key_dim)
        heads = heads * torch.rsqrt(heads.square().sum(-1, keepdim=True) + LENGTH_EPSILON)
        shared = shape.value_heads // shape.key_heads
        return heads.repeat(1, shared, 1) if shape.tiled else heads.repeat_interleave(shared, 1)

    return unit(q) * shape.key_dim**-0.5, unit(k), v.reshape(-1, shape.value_heads, shape.value_dim)
