"""The operations on PyTorch tensors: CPU or CUDA, with autograd where weights require gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from freehold.ops.base import (
    AttentionCache,
    AttentionRules,
    CacheKind,
    CacheType,
    DeltaCache,
    DeltaWeights,
    Forward,
    LatentCache,
    Routing,
)
from freehold.ops.batch import Batch
from freehold.ops.memory import available_bytes
from freehold.ops.torch.attention import (
    Heads,
    Padding,
    Slots,
    attention_cached,
    attention_within,
)
from freehold.ops.torch.cache import Kept, TorchLayerCache, as_held, bytes_of, create_kept, element_type
from freehold.ops.torch.delta import TorchStates, delta_rule
from freehold.ops.torch.experts import mix, route
from freehold.ops.torch.weights import TorchLinear, pack_linear, to_torch
from freehold.tensors import Tensor, WeightType

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
CLAMPED_SLOPE = 1.702


class TorchOps:
    """`Ops` on PyTorch.

    Args:
        device: where weights, activations and caches live.
        compute: type of weights, activations and caches. Norms, rotations and softmax work in float32 inside.
        cache_type: what keys and values are held in instead, with a cache and without.
    """

    name = "torch"

    def __init__(
        self,
        device: str | torch.device = "cpu",
        compute: torch.dtype = torch.float32,
        cache_type: CacheType | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.compute = compute
        self.kept = compute if cache_type is None else element_type(cache_type)
        # Index tensors are the same for all layers of a step, so the last step's are kept.
        self._slots: tuple[Batch, Slots] | None = None
        self._padding: tuple[Batch, Padding] | None = None

    def pack_linear(
        self, parts: Sequence[Tensor], bias: Sequence[Tensor | None] | None, dtype: WeightType | None
    ) -> TorchLinear:
        return pack_linear(parts, bias, dtype, self.device, self.compute)

    def pack_experts(
        self,
        parts: Sequence[Sequence[Tensor]],
        bias: Sequence[Sequence[Tensor | None]] | None,
        dtype: WeightType | None,
    ) -> list[TorchLinear]:
        return [
            self.pack_linear(part, None if bias is None else bias[expert], dtype) for expert, part in enumerate(parts)
        ]

    def vector(self, tensor: Tensor) -> torch.Tensor:
        return to_torch(tensor, self.device, self.compute)

    def embed(self, table: TorchLinear, token_ids: npt.NDArray[np.int32]) -> torch.Tensor:
        return functional.embedding(self._index(token_ids), table.weight)

    def rms_norm(self, x: torch.Tensor, weight: torch.Tensor | None, epsilon: float) -> torch.Tensor:
        wide = x.float()
        normalised = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
        return (normalised if weight is None else normalised * weight.float()).to(x.dtype)

    def layer_norm(
        self, x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, epsilon: float
    ) -> torch.Tensor:
        wide = x.float()
        centred = wide - wide.mean(-1, keepdim=True)
        normalised = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + epsilon)
        if weight is not None:
            normalised = normalised * weight.float()
        if bias is not None:
            normalised = normalised + bias.float()
        return normalised.to(x.dtype)

    def linear(self, x: torch.Tensor, weight: TorchLinear, onto: torch.Tensor | None = None) -> torch.Tensor:
        product = functional.linear(x, weight.weight, weight.bias)
        return product if onto is None else self.add(onto, product)

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
        rules: AttentionRules,
        sinks: torch.Tensor | None = None,
        slopes: torch.Tensor | None = None,
    ) -> torch.Tensor:
        heads = Heads(sinks, slopes)
        if cache is None:
            k, v = as_held(k, self.kept), as_held(v, self.kept)
            return attention_within(q, k, v, self._padding_of(batch), rules=rules, heads=heads)
        slots = self._slots_of(batch, cache)
        return attention_cached(q, k, v, batch, cache, slots=slots, rules=rules, heads=heads)

    def latent_attention(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        batch: Batch,
        cache: TorchLayerCache | None,
        *,
        shape: LatentCache,
        rules: AttentionRules,
    ) -> torch.Tensor:
        keys = k[:, None, :]
        if cache is None:
            keys = as_held(keys, self.kept)
            values = keys[..., : shape.latent]
            mixed = attention_within(q, keys, values, self._padding_of(batch), rules=rules, heads=Heads())
        else:
            slots = self._slots_of(batch, cache)
            mixed = attention_cached(q, keys, None, batch, cache, slots=slots, rules=rules, heads=Heads())
        return mixed.reshape(len(q), -1, shape.latent)

    def delta_rule(
        self,
        qkv: torch.Tensor,
        decay: torch.Tensor,
        beta: torch.Tensor,
        batch: Batch,
        cache: TorchStates | None,
        *,
        weights: DeltaWeights,
        shape: DeltaCache,
    ) -> torch.Tensor:
        return delta_rule(qkv, decay, beta, batch, cache, weights=weights, shape=shape)

    def head_linear(self, x: torch.Tensor, weight: Sequence[TorchLinear]) -> torch.Tensor:
        return torch.stack([self.linear(x[:, head], one) for head, one in enumerate(weight)], 1)

    def gated_mlp(
        self,
        x: torch.Tensor,
        gate_up: TorchLinear,
        down: TorchLinear,
        activation: str,
        limit: float | None = None,
        *,
        onto: torch.Tensor | None = None,
    ) -> torch.Tensor:
        gate, up = self.linear(x, gate_up).chunk(2, dim=-1)
        if activation != "clamped_swiglu":
            return self.linear(ACTIVATIONS[activation](gate) * up, down, onto)
        if limit is None:
            raise ValueError("clamped_swiglu needs a limit")
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
        return self.linear(gate * torch.sigmoid(gate * CLAMPED_SLOPE) * (up + 1), down, onto)

    def experts(
        self,
        x: torch.Tensor,
        router_logits: torch.Tensor,
        gate_up: Sequence[TorchLinear],
        down: Sequence[TorchLinear],
        *,
        selection_bias: torch.Tensor | None,
        routing: Routing,
        activation: str,
        limit: float | None = None,
    ) -> torch.Tensor:
        weights = route(router_logits, selection_bias, routing)
        return mix(
            x,
            weights,
            routing,
            lambda number, rows: self.gated_mlp(rows, gate_up[number], down[number], activation, limit),
        )

    def activate(self, x: torch.Tensor, activation: str) -> torch.Tensor:
        return ACTIVATIONS[activation](x)

    def gate(self, x: torch.Tensor, gates: torch.Tensor, activation: str) -> torch.Tensor:
        return x * ACTIVATIONS[activation](gates)

    def softcap(self, x: torch.Tensor, cap: float) -> torch.Tensor:
        return cap * torch.tanh(x / cap)

    def scale(self, x: torch.Tensor, factor: float | npt.NDArray[np.float32]) -> torch.Tensor:
        if isinstance(factor, np.ndarray):
            factors = torch.from_numpy(factor).to(x)
            return x * factors.reshape(-1, *[1] * (x.ndim - 1))
        return x * factor

    def add(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y

    def concatenate(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat(list(parts), -1)

    def select_rows(self, x: torch.Tensor, rows: npt.NDArray[np.int32]) -> torch.Tensor:
        return x[self._index(rows)]

    def create_cache(
        self, layers: Sequence[CacheKind], blocks: int, block_size: int, states: int = 0
    ) -> list[TorchLayerCache | TorchStates]:
        def kept(heads: int, features: int) -> Kept:
            return create_kept(blocks * block_size, heads, features, self.kept, self.device)

        def cache(layer: CacheKind) -> TorchLayerCache | TorchStates:
            match layer:
                case AttentionCache(heads, dim):
                    return TorchLayerCache(kept(heads, dim), kept(heads, dim), dim, block_size)
                case LatentCache(latent, rotated):
                    return TorchLayerCache(kept(1, latent + rotated), None, latent, block_size)
                case DeltaCache():
                    return TorchStates.empty(layer, states, self.device, self.compute)

        return [cache(layer) for layer in layers]

    def copy_block(self, cache: TorchLayerCache, source: int, target: int) -> None:
        cache.copy_block(source, target)

    def cache_bytes(self, layers: Sequence[CacheKind]) -> int:
        total = 0
        for layer in layers:
            match layer:
                case AttentionCache(heads, dim):
                    total += 2 * bytes_of(heads, dim, self.kept)
                case LatentCache(latent, rotated):
                    total += bytes_of(1, latent + rotated, self.kept)
        return total

    def state_bytes(self, layers: Sequence[CacheKind]) -> int:
        total = 0
        for layer in layers:
            if isinstance(layer, DeltaCache):
                total += (layer.width - 1) * layer.channels * self.compute.itemsize
                total += layer.value_heads * layer.key_dim * layer.value_dim * torch.float32.itemsize
        return total

    def available_bytes(self) -> int:
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[0])
        return available_bytes()

    def graphed(self, forward: Forward) -> Forward:
        return forward

    def to_numpy(self, x: torch.Tensor) -> npt.NDArray[np.float32]:
        result: npt.NDArray[np.float32] = x.detach().float().cpu().numpy()
        return result

    def _padding_of(self, batch: Batch) -> Padding:
        if self._padding is None or self._padding[0] is not batch:
            self._padding = batch, Padding.of(batch, self.device)
        return self._padding[1]

    def _slots_of(self, batch: Batch, cache: TorchLayerCache) -> Slots:
        if self._slots is None or self._slots[0] is not batch:
            self._slots = batch, Slots.of(batch, cache.block_size, self.device)
        return self._slots[1]

    def _index(self, values: npt.NDArray[np.int32]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.int64)).to(self.device)
