"""Quantised checkpoints that are damaged, hostile or of a kind we do not read: refused by name, with the values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from freehold.checkpoints import Checkpoint, open_checkpoint
from freehold.errors import CheckpointError, ConfigError
from tests.support import released
from tests.support.released import FP8, GPTQ, METHODS, MODELOPT, Pieces

AWQ: dict[str, Any] = dict(METHODS["awq"].settings)
MXFP4 = {"quant_method": "mxfp4"}


def pieces_of(name: str, outputs: int = 16, inputs: int = 128) -> Pieces:
    weight = np.random.default_rng(0).standard_normal((outputs, inputs), dtype=np.float32)
    if name == "mxfp4":
        made, _ = released.mxfp4(weight)
    else:
        made, _ = METHODS[name].quantise(weight)
    return {f"up_proj{suffix}": tensor.contiguous() for suffix, tensor in made.items()}


def opened(folder: Path, settings: Any, pieces: Pieces) -> Checkpoint:
    released.write_folder(folder, {"quantization_config": settings}, pieces)
    return open_checkpoint(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"`quantization_config.quant_method` is absent; supported: fp8, modelopt, mxfp4, gptq, awq"),
        ({"quant_method": "bitsandbytes"}, "quant_method` is 'bitsandbytes'"),
        ({"quant_method": "compressed-tensors"}, "quant_method` is 'compressed-tensors'"),
        ({"quant_method": ["gptq"]}, r"quant_method` is \['gptq'\]"),
        ({"quant_method": "x" * 1000}, "quant_method` is 'xxx"),
        ({"producer": {"name": "somebody"}}, "quant_method` is absent"),
        ("fp8", "`quantization_config` is 'fp8'; supported: an object"),
        (FP8 | {"fmt": "e5m2"}, "fmt` is 'e5m2'; supported: 'e4m3'"),
        (FP8 | {"weight_block_size": [128, 64]}, r"weight_block_size` is \[128, 64\]"),
        (FP8 | {"weight_block_size": [0, 128]}, r"weight_block_size` is \[0, 128\]"),
        (FP8 | {"weight_block_size": [True, 128]}, r"weight_block_size` is \[True, 128\]"),
        (FP8 | {"weight_block_size": 128}, "weight_block_size` is 128"),
        (FP8 | {"rotation": "hadamard"}, "rotation` is 'hadamard'; supported: none"),
        (MODELOPT | {"quant_algo": "NVFP4"}, "quant_algo` is 'NVFP4'; supported: 'FP8'"),
        (MXFP4 | {"group_size": 16}, "group_size` is 16; supported: none"),
        (GPTQ | {"bits": 3}, "bits` is 3; supported: 4 or 8"),
        (GPTQ | {"bits": True}, "bits` is True; supported: 4 or 8"),
        (GPTQ | {"group_size": 0}, "group_size` is 0; supported: -1 or a multiple of 32"),
        (GPTQ | {"group_size": 16}, "group_size` is 16; supported: -1 or a multiple of 32"),
        (GPTQ | {"group_size": -32}, "group_size` is -32; supported: -1 or a multiple of 32"),
        (GPTQ | {"group_size": "128"}, "group_size` is '128'; supported: -1 or a multiple of 32"),
        (GPTQ | {"group_size": None}, "group_size` is None; supported: -1 or a multiple of 32"),
        (GPTQ | {"sym": "yes"}, "sym` is 'yes'; supported: True or False"),
        (GPTQ | {"checkpoint_format": "marlin"}, "checkpoint_format` is 'marlin'; supported: 'gptq' or 'gptq_v2'"),
        (GPTQ | {"is_marlin_format": True}, "is_marlin_format` is True; supported: none"),
        (GPTQ | {"dynamic": {"+:.*": {"bits": 8}}}, "dynamic` is .*; supported: none"),
        (AWQ | {"bits": 3}, "bits` is 3; supported: 4"),
        (AWQ | {"version": "gemv"}, "version` is 'gemv'; supported: 'gemm'"),
        (AWQ | {"zero_point": False}, "zero_point` is False; supported: True"),
        (AWQ | {"group_size": 100}, "group_size` is 100"),
    ],
)
def test_settings_are_refused_by_key_and_value(settings: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        opened(tmp_path, settings, pieces_of("fp8"))
    assert len(caught.value.message) < 400


def test_the_settings_of_compressed_tensors_are_seen_under_their_old_name(tmp_path: Path) -> None:
    released.write_folder(tmp_path, {"compression_config": {"format": "pack-quantized"}}, pieces_of("fp8"))
    with pytest.raises(ConfigError, match=r"`compression_config` is .*; supported: none"):
        open_checkpoint(tmp_path)


def without(name: str) -> Callable[[Pieces], None]:
    def change(pieces: Pieces) -> None:
        del pieces[name]

    return change


def instead(name: str, tensor: torch.Tensor) -> Callable[[Pieces], None]:
    def change(pieces: Pieces) -> None:
        pieces[name] = tensor

    return change


def floats(*shape: int) -> torch.Tensor:
    return torch.ones(shape)


def integers(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.int32)


def some_bytes(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("fp8", without("up_proj.weight_scale_inv"), "'up_proj.weight', but no 'up_proj.weight_scale_inv'"),
        ("fp8", instead("up_proj.weight_scale_inv", floats(2, 1)), r"has shape \[2, 1\]; expected \[1, 1\], since"),
        ("fp8", instead("up_proj.weight_scale_inv", floats()), r"has shape \[\]; expected \[1, 1\]"),
        ("fp8", instead("up_proj.weight_scale_inv", integers(1, 1)), "is stored as I32; expected F32 or BF16"),
        ("fp8", instead("up_proj.weight", floats(0, 4).to(torch.float8_e4m3fn)), r"of shape \[0, 4\] is no matrix"),
        ("fp8", instead("up_proj.weight", floats(4).to(torch.float8_e4m3fn)), r"of shape \[4\] is no matrix"),
        ("mxfp4", without("up_proj_scales"), "'up_proj_blocks', but no 'up_proj_scales'"),
        ("mxfp4", instead("up_proj_scales", some_bytes(16, 3)), r"has shape \[16, 3\]; expected \[16, 4\]"),
        ("mxfp4", instead("up_proj_scales", floats(16, 4)), "is stored as F32; expected U8"),
        ("mxfp4", instead("up_proj_blocks", some_bytes(16, 64)), r"has shape \[16, 64\]; expected \[..., rows,"),
        ("mxfp4", instead("up_proj_blocks", some_bytes(16, 4, 8)), r"has shape \[16, 4, 8\]; expected \[..., rows,"),
        ("mxfp4", instead("up_proj_blocks", some_bytes(0, 4, 16)), r"of shape \(0, 4, 16\) is empty"),
        ("gptq", without("up_proj.scales"), "'up_proj.qweight', but no 'up_proj.scales'"),
        ("gptq", without("up_proj.qzeros"), "'up_proj.qweight', but no 'up_proj.qzeros'"),
        ("gptq", instead("up_proj.scales", floats(4, 16)), "is stored as F32; expected F16 or BF16"),
        ("gptq", instead("up_proj.scales", floats(3, 16).half()), r"has shape \[3, 16\]; expected \[4, 16\]"),
        ("gptq", instead("up_proj.qzeros", integers(4, 16)), r"has shape \[4, 16\]; expected \[4, 2\]"),
        ("gptq", instead("up_proj.qzeros", integers(8)), r"has shape \[8\]; expected two dimensions"),
        ("gptq", instead("up_proj.qweight", integers(15, 16)), "has 120 inputs; expected a multiple of 32"),
        ("gptq", instead("up_proj.qweight", integers(0, 16)), r"of shape \(0, 16\) is empty"),
        ("gptq", instead("up_proj.g_idx", integers(127)), r"has shape \[127\]; expected \[128\]"),
        ("gptq", instead("up_proj.g_idx", integers(128) * 4), "has groups from 4 to 4; expected 0 to 3"),
        ("gptq", instead("up_proj.g_idx", integers(128) * -(2**31)), "has groups from -2147483648 to -2147483648"),
        ("gptq", instead("up_proj.g_idx", integers(128)), "mixes groups, although config.json says that `desc_act`"),
        ("gptq-by-importance", without("up_proj.g_idx"), "no 'up_proj.g_idx', although config.json says `desc_act`"),
        ("awq", without("up_proj.qzeros"), "'up_proj.qweight', but no 'up_proj.qzeros'"),
        ("awq", instead("up_proj.qzeros", integers(2, 16)), r"has shape \[2, 16\]; expected \[2, 2\]"),
        ("awq", instead("up_proj.scales", floats(2, 2).half()), r"has shape \[2, 2\]; expected \[2, 16\]"),
        ("awq", instead("up_proj.qweight", floats(128, 2)), "is stored as F32; expected I32"),
    ],
)
def test_pieces_that_do_not_fit(method: str, change: Callable[[Pieces], None], message: str, tmp_path: Path) -> None:
    pieces = pieces_of(method)
    change(pieces)
    settings = MXFP4 if method == "mxfp4" else METHODS[method].settings
    with pytest.raises(CheckpointError, match=message):
        opened(tmp_path, settings, pieces)


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("fp8", instead("up_proj.weight_scale_inv", floats(1, 1) * torch.nan), "has a scale of nan; expected finite"),
        ("fp8", instead("up_proj.weight_scale_inv", floats(1, 1) * torch.inf), "has a scale of inf; expected finite"),
        (
            "fp8",
            instead("up_proj.weight_scale_inv", (some_bytes(1, 1) * 255).view(torch.float8_e8m0fnu)),
            "has a scale of nan",
        ),
        (
            "mxfp4",
            instead("up_proj_scales", some_bytes(16, 4) * 255),
            "has an MXFP4 scale of 255, which stands for NaN",
        ),
        ("gptq", instead("up_proj.scales", floats(4, 16).half() * torch.nan), "has a scale of nan; expected finite"),
        (
            "gptq",
            instead("up_proj.qzeros", integers(4, 2)),
            "zero points from 1 to 2; expected 8, since config.json says",
        ),
        ("awq", instead("up_proj.scales", floats(2, 16).half() * torch.inf), "has a scale of inf; expected finite"),
    ],
)
def test_numbers_that_cannot_be(method: str, change: Callable[[Pieces], None], message: str, tmp_path: Path) -> None:
    pieces = pieces_of(method)
    change(pieces)
    checkpoint = opened(tmp_path, MXFP4 if method == "mxfp4" else METHODS[method].settings, pieces)
    [name] = checkpoint.tensors
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read(name).float32()


def test_a_zero_point_beyond_a_byte(tmp_path: Path) -> None:
    pieces = pieces_of("gptq-8-bits") | {"up_proj.qzeros": integers(4, 4) * -1}
    checkpoint = opened(tmp_path, METHODS["gptq-8-bits-asymmetric"].settings, pieces)
    with pytest.raises(CheckpointError, match=r"'up_proj\.qzeros' has zero points from 256 to 256; expected 0 to 255"):
        checkpoint.read("up_proj.weight")


@pytest.mark.parametrize("method", ["fp8", "gptq", "awq"])
def test_absurd_sizes_cost_nothing(method: str, tmp_path: Path) -> None:
    """Sizes far beyond the tensor's mean one group, whose scales take no more room than they need."""
    pieces = pieces_of(method, inputs=32)
    huge = {"weight_block_size": [10**30, 128]} if method == "fp8" else {"group_size": 32 * 10**30}
    if method != "fp8":
        pieces["up_proj.scales"], pieces["up_proj.qzeros"] = (
            pieces["up_proj.scales"][:1].contiguous(),
            pieces["up_proj.qzeros"][:1].contiguous(),
        )
    checkpoint = opened(tmp_path, {**METHODS[method].settings, **huge}, pieces)
    assert np.isfinite(checkpoint.read("up_proj.weight").float32()).all()


def test_a_tensor_both_plain_and_quantised(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds 'up_proj\.weight' both as it is and quantised"):
        opened(tmp_path, GPTQ, pieces_of("gptq") | {"up_proj.weight": floats(16, 128)})


def test_scales_without_a_weight_stay_in_sight(tmp_path: Path) -> None:
    pieces = pieces_of("fp8") | {"other.weight_scale_inv": floats(1, 1), "other.input_scale": floats(1)}
    assert set(opened(tmp_path, FP8, pieces).tensors) == {
        "up_proj.weight",
        "other.weight_scale_inv",
        "other.input_scale",
    }
