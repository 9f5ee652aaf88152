"""Released quantised layouts against an independent packing of the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from freehold.checkpoints import open_checkpoint
from freehold.checkpoints.quantised import QuantisedCheckpoint, integers
from freehold.ops.native import NativeOps
from freehold.tensors import TensorType
from tests.native import reference
from tests.support import released
from tests.support.released import METHODS

CONFIG = {"model_type": "llama"}
TYPES = {
    "fp8": TensorType.FP8,
    "fp8-bfloat-scales": TensorType.FP8,
    "fp8-of-rows": TensorType.FP8,
    "fp8-of-tensors": TensorType.FP8,
    "gptq": TensorType.Q4_0,
    "gptq-asymmetric": TensorType.UINT4,
    "gptq-v2": TensorType.UINT4,
    "gptq-whole-rows": TensorType.Q4_0,
    "gptq-8-bits": TensorType.Q8_0,
    "gptq-8-bits-asymmetric": TensorType.UINT8,
    "gptq-by-importance": TensorType.F32,
    "awq": TensorType.UINT4,
}


def weights(*shapes: tuple[int, int]) -> dict[str, released.Float32Array]:
    return {
        f"model.layers.{index}.up_proj.weight": reference.random_values(index, *shape)
        for index, shape in enumerate(shapes)
    }


@pytest.mark.parametrize("name", METHODS)
def test_every_value_is_read_to_the_bit(name: str, tmp_path: Path) -> None:
    plain = {"model.norm.weight": reference.random_values(9, 32)}
    made = weights((8, 32), (136, 288), (264, 128), (72, 160)) | plain
    expected = released.write_released(tmp_path, CONFIG, made, METHODS[name])
    checkpoint = open_checkpoint(tmp_path)
    assert isinstance(checkpoint, QuantisedCheckpoint)
    assert set(checkpoint.tensors) == set(expected)
    for tensor_name, values in expected.items():
        tensor = checkpoint.read(tensor_name)
        assert tensor.info == checkpoint.tensors[tensor_name]
        shape = tensor.info.shape
        assert shape == values.shape
        np.testing.assert_array_equal(tensor.float32(), values)
        if values.ndim == 2:
            # One group holds all of 32 inputs, in whatever order.
            assert tensor.info.type is TYPES["gptq" if name == "gptq-by-importance" and shape[1] == 32 else name]
            packed = NativeOps().pack_linear([tensor], None, None)
            np.testing.assert_array_equal(reference.all_rows(packed), values)


@pytest.mark.parametrize("name", ["gptq", "gptq-8-bits-asymmetric", "gptq-by-importance", "awq"])
def test_working_in_pieces_changes_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = released.write_released(tmp_path, CONFIG, weights((136, 64)), METHODS[name])
    monkeypatch.setattr(integers, "CHUNK_ELEMENTS", 64 * 11)
    [(tensor_name, values)] = expected.items()
    np.testing.assert_array_equal(open_checkpoint(tmp_path).read(tensor_name).float32(), values)


def test_mxfp4_lies_beside_its_scales(tmp_path: Path) -> None:
    weight = reference.random_values(0, 3, 6, 96)
    pieces, values = released.mxfp4(weight)
    stored = {f"experts.gate_up_proj{suffix}": tensor for suffix, tensor in pieces.items()}
    stored["experts.gate_up_proj_bias"] = torch.ones(3, 6)
    config = CONFIG | {"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}}
    released.write_folder(tmp_path, config, stored)
    checkpoint = open_checkpoint(tmp_path)
    assert set(checkpoint.tensors) == {"experts.gate_up_proj_blocks", "experts.gate_up_proj_bias"}
    tensor = checkpoint.read("experts.gate_up_proj_blocks")
    assert (tensor.info.shape, tensor.info.type) == ((3, 6, 96), TensorType.MXFP4_APART)
    np.testing.assert_array_equal(tensor.float32(), values.astype(np.float32))
    packed = NativeOps().pack_linear([tensor.part(1)], None, None)
    np.testing.assert_array_equal(reference.all_rows(packed), values[1].astype(np.float32))


def test_float8_is_what_transformers_dequantises(tmp_path: Path) -> None:
    module = pytest.importorskip("transformers.integrations.finegrained_fp8", reason="no FP8 in this transformers")
    if not hasattr(module, "Fp8Dequantize"):
        pytest.skip("this transformers dequantises FP8 elsewhere")
    released.write_released(tmp_path, CONFIG, weights((256, 384)), METHODS["fp8"])
    pieces, _ = METHODS["fp8"].quantise(weights((256, 384))["model.layers.0.up_proj.weight"])
    theirs = module.Fp8Dequantize(None)._dequantize_one(
        pieces[".weight"], pieces[".weight_scale_inv"], output_dtype=torch.float32
    )
    ours = open_checkpoint(tmp_path).read("model.layers.0.up_proj.weight").float32()
    np.testing.assert_array_equal(ours, theirs.numpy())


def test_scales_that_are_powers_of_two_may_be_bytes(tmp_path: Path) -> None:
    codes = torch.from_numpy(np.arange(126, dtype=np.uint8)).repeat(3).reshape(3, 126).view(torch.float8_e4m3fn)
    scales = torch.tensor([[0], [127], [140]], dtype=torch.uint8).view(torch.float8_e8m0fnu)
    settings = released.FP8 | {"weight_block_size": [1, 128], "scale_fmt": "ue8m0"}
    stored = {"a.weight": codes, "a.weight_scale_inv": scales}
    released.write_folder(tmp_path, CONFIG | {"quantization_config": settings}, stored)
    expected = codes.double().numpy() * 2.0 ** np.array([[-127], [0], [13]])
    np.testing.assert_array_equal(open_checkpoint(tmp_path).read("a.weight").float32(), expected.astype(np.float32))


def test_a_bias_of_zeros_that_no_model_has_is_dropped(tmp_path: Path) -> None:
    method = METHODS["gptq"]
    made = weights((8, 32), (8, 64))
    pieces: released.Pieces = {}
    for name, weight in made.items():
        own, _ = method.quantise(weight)
        pieces |= {name.removesuffix(".weight") + suffix: tensor.contiguous() for suffix, tensor in own.items()}
    pieces["model.layers.0.up_proj.bias"] = torch.zeros(8, dtype=torch.float16)
    pieces["model.layers.1.up_proj.bias"] = torch.ones(8, dtype=torch.float16)
    released.write_folder(tmp_path, CONFIG | {"quantization_config": method.settings}, pieces)
    assert set(open_checkpoint(tmp_path).tensors) == {*made, "model.layers.1.up_proj.bias"}


def test_settings_may_lie_with_the_text_part(tmp_path: Path) -> None:
    expected = released.write_released(tmp_path, CONFIG, weights((8, 32)), METHODS["fp8"])
    (tmp_path / "config.json").write_text(
        '{"text_config": {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}}'
    )
    [(name, values)] = expected.items()
    np.testing.assert_array_equal(open_checkpoint(tmp_path).read(name).float32(), values)
