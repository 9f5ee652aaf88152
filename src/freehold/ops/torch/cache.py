"""What layers keep per position, in a plain type or as codes of 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from freehold.ops.base import CACHE_GROUP, CacheType

LARGEST_CODE = 127
_TYPES: dict[str, torch.dtype] = {"q8": torch.int8, "f16": torch.float16, "f32": torch.float32}


class Kept(Protocol):
    """Vectors [slots, heads, features], and how they are held."""

    def write(self, slots: torch.Tensor, x: torch.Tensor) -> None:
        """Hold x [rows, heads, features] in these slots."""
        ...

    def read(self, slots: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """What these slots hold: [rows, heads, features]."""
        ...

    def copy(self, source: slice, target: slice) -> None:
        """Have slots hold what others hold."""
        ...


@dataclass(frozen=True, eq=False)
class Plain:
    """Vectors in a float type."""

    held: torch.Tensor

    def write(self, slots: torch.Tensor, x: torch.Tensor) -> None:
        self.held[slots] = x.to(self.held.dtype)

    def read(self, slots: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        return self.held[slots].to(dtype)

    def copy(self, source: slice, target: slice) -> None:
        self.held[target] = self.held[source]


@dataclass(frozen=True, eq=False)
class Coded:
    """Vectors as codes of 8 bits; `CacheType` says how these are made.

    Attributes:
        codes: [slots, heads, features] int8.
        scales: [slots, heads, features / 32 rounded up] bfloat16.
    """

    codes: torch.Tensor
    scales: torch.Tensor

    def write(self, slots: torch.Tensor, x: torch.Tensor) -> None:
        self.codes[slots], self.scales[slots] = encode(x)

    def read(self, slots: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        return decode(self.codes[slots], self.scales[slots]).to(dtype)

    def copy(self, source: slice, target: slice) -> None:
        self.codes[target], self.scales[target] = self.codes[source], self.scales[source]


@dataclass(frozen=True, eq=False)
class TorchLayerCache:
    """Keys and values of one layer.

    Attributes:
        keys: of blocks * block_size slots. In latent attention there is one head, and the values are the keys' first
            features.
        values: likewise; None in latent attention.
        value_dim: features of a value.
        block_size: positions per block.
    """

    keys: Kept
    values: Kept | None
    value_dim: int
    block_size: int

    def read(self, slots: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values in these slots: [rows, heads, features] each."""
        keys = self.keys.read(slots, dtype)
        return keys, keys[..., : self.value_dim] if self.values is None else self.values.read(slots, dtype)

    def copy_block(self, source: int, target: int) -> None:
        """Have a block hold what another holds."""
        of, to = (slice(block * self.block_size, (block + 1) * self.block_size) for block in (source, target))
        for kept in (self.keys, self.values):
            if kept is not None:
                kept.copy(of, to)


def element_type(cache_type: CacheType) -> torch.dtype:
    """What elements of a cache are; int8 stands for codes.

    Raises:
        ValueError: there is no such type of cache.
    """
    if cache_type not in _TYPES:
        raise ValueError(f"cache_type is {cache_type!r}, must be one of {', '.join(_TYPES)}")
    return _TYPES[cache_type]


def create_kept(slots: int, heads: int, features: int, elements: torch.dtype, device: torch.device) -> Kept:
    """Zeros."""
    held = torch.zeros(slots, heads, features, device=device, dtype=elements)
    if elements is not torch.int8:
        return Plain(held)
    return Coded(held, torch.zeros(slots, heads, _scales(features), device=device, dtype=torch.bfloat16))


def bytes_of(heads: int, features: int, elements: torch.dtype) -> int:
    """Bytes that the vectors of one slot take."""
    scales = _scales(features) * torch.bfloat16.itemsize if elements is torch.int8 else 0
    return heads * (features * elements.itemsize + scales)


def as_held(x: torch.Tensor, elements: torch.dtype) -> torch.Tensor:
    """What a cache would make of x, for attention without one."""
    return (decode(*encode(x)) if elements is torch.int8 else x.to(elements)).to(x.dtype)


def encode(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes [..., features] and scales [..., groups] of x [..., features]."""
    groups = _grouped(x.float())
    steps = groups.abs().amax(-1, keepdim=True) / LARGEST_CODE
    upper_half = (steps.view(torch.int32) + 0xFFFF) & ~0xFFFF  # the next bfloat16, unless it is one
    steps = upper_half.view(torch.float32)
    usable = (steps > 0) & steps.isfinite()
    codes = torch.where(usable, groups / steps, 0).round().to(torch.int8)
    return codes.flatten(-2)[..., : x.shape[-1]], steps.squeeze(-1).to(torch.bfloat16)


def decode(codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """What codes mean, in float32."""
    groups = _grouped(codes.float()) * scales.float()[..., None]
    return groups.flatten(-2)[..., : codes.shape[-1]]


def _grouped(x: torch.Tensor) -> torch.Tensor:
    """[..., features] -> [..., groups, CACHE_GROUP], zeros at the end."""
    padded = functional.pad(x, (0, -x.shape[-1] % CACHE_GROUP))
    return padded.reshape(*x.shape[:-1], _scales(x.shape[-1]), CACHE_GROUP)


def _scales(features: int) -> int:
    return -(-features // CACHE_GROUP)
