"""Whole models in released quantised layouts against the same models with dequantised weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GptOssConfig, LlamaConfig, PretrainedConfig, Qwen2Config

from freehold.checkpoints import open_checkpoint
from freehold.checkpoints.base import Checkpoint, MemoryCheckpoint, Naming
from freehold.models import load_model
from freehold.models.export import export
from freehold.models.loading import outline, parameter_source
from freehold.ops import create_ops
from freehold.ops.batch import Batch
from freehold.tensors import Tensor, TensorType, WeightType
from tests.support import released
from tests.support.configurations.shapes import SHAPE
from tests.support.released import METHODS
from tests.support.tiny import CONFIGURATIONS as TINY
from tests.support.tiny import checkpoint_of, reference, reference_logits, relative_error

SEQUENCES = [list(range(1, 40)), [3, 1, 4, 1, 5, 9, 2, 6], [42]]
BLOCK = 16
# Rows of whole groups: 96 inputs are three groups of 32, or one and a half of 64.
WIDE: dict[str, Any] = SHAPE | {"hidden_size": 96, "intermediate_size": 160}
CONFIGURATIONS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**WIDE, architectures=["LlamaForCausalLM"]),
    "qwen2": Qwen2Config(**WIDE, architectures=["Qwen2ForCausalLM"]),
}
GPT_OSS = GptOssConfig(
    **WIDE,
    head_dim=16,
    num_local_experts=4,
    num_experts_per_tok=2,
    sliding_window=9,
    rope_parameters={"rope_type": "default", "rope_theta": 1e4},
    architectures=["GptOssForCausalLM"],
)


def forward(checkpoint: Checkpoint, backend: str, dtype: WeightType | None = None) -> np.ndarray:
    model = load_model(checkpoint, create_ops(backend, exact=True), dtype)
    caches = model.create_cache(len(SEQUENCES) + sum(map(len, SEQUENCES)) // BLOCK, BLOCK)
    return model.ops.to_numpy(model.forward(Batch.whole(SEQUENCES, BLOCK), caches))


def released_and_plain(family: str, method: str, folder: Path) -> tuple[Checkpoint, MemoryCheckpoint]:
    """A quantised folder, and the float weights that it stands for."""
    original = checkpoint_of(reference({**TINY, **CONFIGURATIONS}[family]))
    weights = {name: original.read(name).float32() for name in original.tensors}
    values = released.write_released(folder, original.config, weights, METHODS[method])
    contents = {name: Tensor.from_array(name, one) for name, one in values.items()}
    return open_checkpoint(folder), MemoryCheckpoint(original.config, contents)


def released_gpt_oss(folder: Path) -> tuple[Checkpoint, MemoryCheckpoint]:
    """As above, with experts in MXFP4 as OpenAI stores them and as transformers names floats."""
    original = checkpoint_of(reference(GPT_OSS))
    stored: released.Pieces = {}
    contents: dict[str, Tensor] = {}
    for name in original.tensors:
        values = original.read(name).float32()
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            pieces, exact = released.mxfp4(np.ascontiguousarray(values.transpose(0, 2, 1)))
            stored |= {name + suffix: tensor.contiguous() for suffix, tensor in pieces.items()}
            values = np.ascontiguousarray(exact.astype(np.float32).transpose(0, 2, 1))
        else:
            stored[name] = torch.from_numpy(values.copy())
        contents[name] = Tensor.from_array(name, values)
    settings = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    released.write_folder(folder, {**original.config, "quantization_config": settings}, stored)
    return open_checkpoint(folder), MemoryCheckpoint(original.config, contents)


def rounding(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)))


def rounding_to_8_bits(plain: Checkpoint) -> float:
    """What it costs to round weights and activations to 8 bits. Here only activations are; one draw of such noise may
    be half again as large as another."""
    return 1.5 * rounding(forward(plain, "native", WeightType.Q8), forward(plain, "torch"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", CONFIGURATIONS)
def test_logits_are_those_of_the_dequantised_weights(family: str, method: str, tmp_path: Path) -> None:
    quantised, plain = released_and_plain(family, method, tmp_path)
    expected = forward(plain, "torch")
    assert np.array_equal(forward(quantised, "torch"), expected)
    found = forward(quantised, "native")
    if method.startswith("fp8") or method == "gptq-by-importance":
        assert relative_error(found, expected) < 1e-5
    else:
        assert rounding(found, expected) < rounding_to_8_bits(plain)
    assert relative_error(forward(quantised, "native", WeightType.F32), expected) < 1e-5


@pytest.mark.parametrize("name", ["deepseek-v3", "deepseek-v3-plain-queries"])
def test_latents_and_experts_in_fp8(name: str, tmp_path: Path) -> None:
    """As DeepSeek V3 is released: blocks of scales cross the bounds of heads, and keys' up-projections are turned."""
    quantised, plain = released_and_plain(name, "fp8", tmp_path)
    expected = forward(plain, "torch")
    assert np.array_equal(forward(quantised, "torch"), expected)
    assert relative_error(forward(quantised, "native"), expected) < 2e-5


def test_the_reference_is_transformers(tmp_path: Path) -> None:
    """The float path above is compared with itself; here it is with the dequantised weights in transformers' model."""
    quantised, plain = released_and_plain("llama", "fp8", tmp_path)
    model = reference(CONFIGURATIONS["llama"])
    model.load_state_dict({name: torch.from_numpy(plain.read(name).float32()) for name in plain.tensors})
    assert relative_error(forward(quantised, "native"), reference_logits(model, SEQUENCES)) < 1e-4


def test_experts_in_mxfp4(tmp_path: Path) -> None:
    quantised, plain = released_gpt_oss(tmp_path)
    expected = forward(plain, "torch")
    assert np.array_equal(forward(quantised, "torch"), expected)
    assert rounding(forward(quantised, "native"), expected) < rounding_to_8_bits(plain)
    assert relative_error(forward(quantised, "native", WeightType.F32), expected) < 1e-5


def test_mxfp4_goes_to_gguf_and_back_as_it_is(tmp_path: Path) -> None:
    quantised, _ = released_gpt_oss(tmp_path)
    for dtype in (None, WeightType.Q8, WeightType.Q4):
        exported = export(quantised, Naming.GGUF, dtype, "tiny")
        contents = {lazy.info.name: Tensor(lazy.info, lazy.data()) for lazy in exported.tensors}
        gguf = MemoryCheckpoint(exported.config, contents, Naming.GGUF)
        assert gguf.tensors["blk.0.ffn_gate_exps.weight"].type is TensorType.MXFP4
        ours, theirs = (parameter_source(outline(one), one) for one in (quantised, gguf))
        for name in ("gate_up.gate.1", "gate_up.up.3", "down.0"):
            parameter = f"blocks.1.mlp.{name}.weight"
            np.testing.assert_array_equal(theirs(parameter).float32(), ours(parameter).float32())


@pytest.mark.parametrize(
    ("method", "dtype", "expected"),
    [
        ("fp8", None, TensorType.F32),
        ("fp8", WeightType.Q8, TensorType.Q8_0),
        ("awq", None, TensorType.F32),
        ("awq", WeightType.Q4, TensorType.Q4_0),
        ("gptq", None, TensorType.Q4_0),
        ("gptq", WeightType.Q8, TensorType.Q4_0),
        ("gptq-8-bits", None, TensorType.Q8_0),
    ],
)
def test_what_gguf_has_no_type_for_is_dequantised(
    method: str, dtype: WeightType | None, expected: TensorType, tmp_path: Path
) -> None:
    quantised, plain = released_and_plain("llama", method, tmp_path)
    exported = {lazy.info.name: lazy for lazy in export(quantised, Naming.GGUF, dtype, "tiny").tensors}
    down = exported["blk.0.ffn_down.weight"]
    assert down.info.type is expected
    if dtype is None or method == "gptq":
        values = plain.read("model.layers.0.mlp.down_proj.weight").float32()
        np.testing.assert_array_equal(Tensor(down.info, down.data()).float32(), values)


def test_folders_get_floats(tmp_path: Path) -> None:
    quantised, plain = released_and_plain("llama", "awq", tmp_path)
    exported = export(quantised, Naming.HUGGING_FACE, None, "tiny")
    assert "quantization_config" not in exported.config
    for lazy in exported.tensors:
        np.testing.assert_array_equal(Tensor(lazy.info, lazy.data()).float32(), plain.read(lazy.info.name).float32())
