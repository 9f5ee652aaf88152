"""The operations on PyTorch tensors: CPU or CUDA, with autograd where weights require gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from freehold.ops.base import AttentionCache
from freehold.ops.batch import Batch
from freehold.ops.memory import available_bytes
from freehold.ops.torch.attention import Padding, Slots, TorchLayerCache, attention_cached, attention_within
from freehold.ops.torch.weights import TorchLinear, pack_linear, to_torch
from freehold.tensors import Tensor, WeightType

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": functional.silu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
}


class TorchOps:
    """`Ops` on PyTorch.

    Args:
        device: where weights, activations and caches live.
        compute: type of weights, activations and caches. Norms, rotations and softmax work in float32 inside.
    """

    name = "torch"

    def __init__(self, device: str | torch.device = "cpu", compute: torch.dtype = torch.float32):
        self.device = torch.device(device)
        self.compute = compute
        # Index tensors are the same for all layers of a step, so the last step's are kept.
        self._slots: tuple[Batch, Slots] | None = None
        self._padding: tuple[Batch, Padding] | None = None

    def pack_linear(
        self, parts: Sequence[Tensor], bias: Sequence[Tensor | None] | None, dtype: WeightType | None
    ) -> TorchLinear:
        return pack_linear(parts, bias, dtype, self.device, self.compute)

    def vector(self, tensor: Tensor) -> torch.Tensor:
        return to_torch(tensor, self.device, self.compute)

    def embed(self, table: TorchLinear, token_ids: npt.NDArray[np.int32]) -> torch.Tensor:
        return functional.embedding(self._index(token_ids), table.weight)

    def rms_norm(self, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        wide = x.float()
        normalised = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
        return (normalised * weight.float()).to(x.dtype)

    def linear(self, x: torch.Tensor, weight: TorchLinear) -> torch.Tensor:
        return functional.linear(x, weight.weight, weight.bias)

    def rotation(
        self, positions: npt.NDArray[np.int32], frequencies: npt.NDArray[np.float32], scale: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        angles = self._index(positions).float()[:, None] * torch.from_numpy(frequencies).to(self.device)
        return angles.cos() * scale, angles.sin() * scale

    def rope(self, x: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        cosine, sine = (part[:, None, :] for part in rotation)
        half = cosine.shape[-1]
        first, second, rest = x[..., :half].float(), x[..., half : 2 * half].float(), x[..., 2 * half :]
        rotated = torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1).to(x.dtype)
        return rotated if rest.shape[-1] == 0 else torch.cat([rotated, rest], -1)

    def attention(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        batch: Batch,
        cache: TorchLayerCache | None,
        *,
        scale: float,
        window: int | None = None,
    ) -> torch.Tensor:
        if cache is None:
            if self._padding is None or self._padding[0] is not batch:
                self._padding = batch, Padding.of(batch, self.device)
            return attention_within(q, k, v, self._padding[1], scale=scale, window=window)
        if self._slots is None or self._slots[0] is not batch:
            self._slots = batch, Slots.of(batch, cache.block_size, self.device)
        return attention_cached(q, k, v, batch, cache, slots=self._slots[1], scale=scale, window=window)

    def gated_mlp(self, x: torch.Tensor, gate_up: TorchLinear, down: TorchLinear, activation: str) -> torch.Tensor:
        gate, up = self.linear(x, gate_up).chunk(2, dim=-1)
        return self.linear(ACTIVATIONS[activation](gate) * up, down)

    def add(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y

    def select_rows(self, x: torch.Tensor, rows: npt.NDArray[np.int32]) -> torch.Tensor:
        return x[self._index(rows)]

    def create_cache(self, layers: Sequence[AttentionCache], blocks: int, block_size: int) -> list[TorchLayerCache]:
        def empty(layer: AttentionCache) -> torch.Tensor:
            return torch.zeros(
                blocks * block_size, layer.kv_heads, layer.head_dim, device=self.device, dtype=self.compute
            )

        return [TorchLayerCache(empty(layer), empty(layer), block_size) for layer in layers]

    def cache_bytes(self, layers: Sequence[AttentionCache]) -> int:
        return sum(2 * layer.kv_heads * layer.head_dim * self.compute.itemsize for layer in layers)

    def available_bytes(self) -> int:
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[0])
        return available_bytes()

    def to_numpy(self, x: torch.Tensor) -> npt.NDArray[np.float32]:
        result: npt.NDArray[np.float32] = x.detach().float().cpu().numpy()
        return result

    def _index(self, values: npt.NDArray[np.int32]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.int64)).to(self.device)
