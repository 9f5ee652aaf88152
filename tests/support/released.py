"""Weights quantised the way released checkpoints hold them, and what they stand for.

Each layout is packed here bit by bit from its published description, apart from the code that reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file

Float32Array: TypeAlias = npt.NDArray[np.float32]
Float64Array: TypeAlias = npt.NDArray[np.float64]
IntegerArray: TypeAlias = npt.NDArray[np.int64]
Pieces: TypeAlias = dict[str, torch.Tensor]

# Where AWQ puts the outputs of a word, from its lowest bits on.
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
FLOAT4 = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0])


@dataclass(frozen=True)
class Method:
    """One way to release quantised weights.

    Attributes:
        settings: what config.json says under `quantization_config`.
        quantise: from [outputs, inputs] to the pieces, by what follows the module's name, and what they stand for.
        extra: tensors that come along, by what follows the module's name.
    """

    settings: Mapping[str, Any]
    quantise: Callable[[Float32Array], tuple[Pieces, Float64Array]]
    extra: Mapping[str, torch.Tensor] = field(default_factory=dict)


def float8(block: tuple[int, int] | None, dtype: torch.dtype = torch.float32, suffix: str = "_scale_inv") -> Any:
    """A quantiser to E4M3 with a scale for each block, for each row where the block is (1, 0), or for all."""

    def quantise(weight: Float32Array) -> tuple[Pieces, Float64Array]:
        rows, columns = weight.shape
        high, wide = block or (rows, columns)
        wide = wide or columns
        scales = np.zeros((-(-rows // high), -(-columns // wide)), np.float32)
        every = np.zeros(weight.shape, np.float32)
        for i in range(scales.shape[0]):
            for j in range(scales.shape[1]):
                part = (slice(i * high, (i + 1) * high), slice(j * wide, (j + 1) * wide))
                largest = torch.tensor(float(np.abs(weight[part]).max()) / 448)
                every[part] = scales[i, j] = largest.to(dtype).float().item()
        codes = torch.from_numpy(weight / every).to(torch.float8_e4m3fn)
        stored = torch.from_numpy(scales).to(dtype)
        stored = stored.reshape(()) if block is None else stored
        values = codes.double().numpy() * every.astype(np.float64)
        return {".weight": codes, f".weight{suffix}": stored}, values

    return quantise


def gptq(bits: int, group_size: int, *, symmetric: bool, shuffled: bool = False, zero_offset: int = 1) -> Any:
    """A quantiser to GPTQ's layout."""

    def quantise(weight: Float32Array) -> tuple[Pieces, Float64Array]:
        order = np.arange(weight.shape[1]) // (weight.shape[1] if group_size == -1 else group_size)
        if shuffled:
            order = np.random.default_rng(0).permutation(order)
        codes, scales, zeros = _integers(weight, order, bits, symmetric=symmetric)
        pieces = {
            ".qweight": _packed(codes.T, bits, axis=0),
            ".qzeros": _packed(zeros.T - zero_offset, bits, axis=1),
            ".scales": torch.from_numpy(scales.T.astype(np.float16)),
            ".g_idx": torch.from_numpy(order.astype(np.int32)),
        }
        return pieces, scales[:, order] * (codes - zeros[:, order])

    return quantise


def awq(group_size: int) -> Any:
    """A quantiser to AWQ's layout."""

    def quantise(weight: Float32Array) -> tuple[Pieces, Float64Array]:
        order = np.arange(weight.shape[1]) // group_size
        codes, scales, zeros = _integers(weight, order, 4, symmetric=False)
        pieces = {
            ".qweight": _packed(_in_awq_order(codes.T), 4, axis=1),
            ".qzeros": _packed(_in_awq_order(zeros.T), 4, axis=1),
            ".scales": torch.from_numpy(scales.T.astype(np.float16)),
        }
        return pieces, scales[:, order] * (codes - zeros[:, order])

    return quantise


def mxfp4(weight: Float32Array) -> tuple[Pieces, Float64Array]:
    """[..., rows, columns] -> blocks and scales, as GPT-OSS has them."""
    groups = weight.reshape(*weight.shape[:-1], -1, 32).astype(np.float64)
    largest = np.abs(groups).max(axis=-1, keepdims=True)
    exponents = np.floor(np.log2(largest / 4)).astype(np.int64)
    nearest = np.abs(groups[..., None] / 2.0 ** exponents[..., None] - FLOAT4).argmin(axis=-1)
    blocks = nearest[..., 0::2] + 16 * nearest[..., 1::2]
    pieces = {
        "_blocks": torch.from_numpy(blocks.astype(np.uint8)),
        "_scales": torch.from_numpy((exponents[..., 0] + 127).astype(np.uint8)),
    }
    return pieces, (FLOAT4[nearest] * 2.0**exponents).reshape(weight.shape)


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "desc_act": False, "damp_percent": 0.1}
FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
STATIC = {"quant_method": "fp8", "activation_scheme": "static"}
MODELOPT = {"quant_algo": "FP8", "kv_cache_scheme": "FP8", "ignore": ["lm_head"], "producer": {"name": "modelopt"}}
INPUT_SCALES = {".input_scale": torch.tensor(0.5), ".k_scale": torch.tensor(0.25)}

METHODS: dict[str, Method] = {
    "fp8": Method(FP8, float8((128, 128))),
    "fp8-bfloat-scales": Method(FP8 | {"weight_block_size": [32, 128]}, float8((32, 128), torch.bfloat16)),
    "fp8-of-rows": Method(STATIC, float8((1, 0), suffix="_scale"), {".activation_scale": torch.tensor(2.0)}),
    "fp8-of-tensors": Method(MODELOPT, float8(None, suffix="_scale"), INPUT_SCALES),
    "gptq": Method(GPTQ, gptq(4, 32, symmetric=True)),
    "gptq-asymmetric": Method(GPTQ | {"sym": False, "group_size": 64}, gptq(4, 64, symmetric=False)),
    "gptq-v2": Method(
        GPTQ | {"sym": False, "checkpoint_format": "gptq_v2"}, gptq(4, 32, symmetric=False, zero_offset=0)
    ),
    "gptq-whole-rows": Method(GPTQ | {"group_size": -1}, gptq(4, -1, symmetric=True)),
    "gptq-8-bits": Method(GPTQ | {"bits": 8}, gptq(8, 32, symmetric=True)),
    "gptq-8-bits-asymmetric": Method(GPTQ | {"bits": 8, "sym": False}, gptq(8, 32, symmetric=False)),
    "gptq-by-importance": Method(GPTQ | {"desc_act": True}, gptq(4, 32, symmetric=True, shuffled=True)),
    "awq": Method({"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemm", "zero_point": True}, awq(64)),
}


def write_released(
    folder: Path, config: Mapping[str, Any], weights: Mapping[str, Float32Array], method: Method
) -> dict[str, Float32Array]:
    """Write a folder whose `*_proj.weight` are quantised. Returns the values that every weight stands for."""
    stored: Pieces = {}
    values: dict[str, Float32Array] = {}
    for name, weight in weights.items():
        if not name.endswith("_proj.weight"):
            stored[name], values[name] = torch.from_numpy(weight.copy()), weight
            continue
        module = name.removesuffix(".weight")
        pieces, exact = method.quantise(weight)
        stored |= {module + suffix: tensor.contiguous() for suffix, tensor in pieces.items()}
        stored |= {module + suffix: tensor.clone() for suffix, tensor in method.extra.items()}
        values[name] = exact.astype(np.float32)
    write_folder(folder, {**config, "quantization_config": dict(method.settings)}, stored)
    return values


def write_folder(folder: Path, config: Mapping[str, Any], stored: Pieces) -> None:
    """Write config.json and one file of weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(stored, folder / "model.safetensors")


def _integers(
    weight: Float32Array, order: IntegerArray, bits: int, *, symmetric: bool
) -> tuple[IntegerArray, Float64Array, IntegerArray]:
    """Codes [outputs, inputs], and scales (which float16 can hold) and zero points [outputs, groups]."""
    most = 2**bits - 1
    members = [weight[:, order == group] for group in range(order.max() + 1)]
    highest = np.stack([part.max(axis=1) for part in members], axis=1)
    lowest = np.stack([part.min(axis=1) for part in members], axis=1)
    if symmetric:
        highest = np.maximum(highest, -lowest)
        lowest = -highest
    scales = ((highest - lowest) / most).astype(np.float16).astype(np.float64)
    zeros = np.full(scales.shape, (most + 1) // 2) if symmetric else np.clip(np.rint(-lowest / scales), 1, most)
    zeros = zeros.astype(np.int64)
    codes = np.clip(np.rint(weight / scales[:, order]) + zeros[:, order], 0, most).astype(np.int64)
    return codes, scales, zeros


def _packed(codes: IntegerArray, bits: int, axis: int) -> torch.Tensor:
    """Neighbours along an axis in words of 32 bits, the first in the lowest bits."""
    each = 32 // bits
    parts = [np.take(codes, np.arange(index, codes.shape[axis], each), axis) << bits * index for index in range(each)]
    return torch.from_numpy(np.sum(parts, axis=0).astype(np.uint32).view(np.int32))


def _in_awq_order(codes: IntegerArray) -> IntegerArray:
    """Columns so arranged that plain packing puts them where AWQ has them."""
    groups = codes.reshape(len(codes), -1, 8)
    return groups[:, :, list(AWQ_ORDER)].reshape(codes.shape)
