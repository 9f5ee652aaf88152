"""GPT-OSS's files as they are released, in floats and in blocks of 4-bit floats, and what of them is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from freehold.checkpoints import open_checkpoint
from freehold.checkpoints.base import Checkpoint, MemoryCheckpoint, Naming
from freehold.errors import ConfigError
from freehold.models import load_model
from freehold.models.config import YarnScaling
from freehold.models.export import export
from freehold.models.families.gpt_oss import GptOssConfig
from freehold.models.loading import outline, parameter_source
from freehold.ops.batch import Batch
from freehold.ops.torch import TorchOps
from freehold.tensors import Tensor, TensorType, WeightType
from tests.support.described import gguf_words, released, reread, tensor_names, tiny, translate
from tests.support.released import mxfp4, write_folder
from tests.support.tiny import CONFIGURATIONS, checkpoint_of, reference

RELEASED = "openai--gpt-oss-20b_config.json"


def floats() -> dict[str, object]:
    """A released configuration as it is said of a folder of plain floats."""
    return released(RELEASED) | {"quantization_config": None}


def source(name: str = "gpt-oss") -> MemoryCheckpoint:
    return checkpoint_of(reference(CONFIGURATIONS[name]))


def logits(checkpoint: Checkpoint) -> np.ndarray:
    model = load_model(checkpoint, TorchOps())
    return model.ops.to_numpy(model.forward(Batch.whole([[5, 6, 7, 8, 9], [1]]), None))


def test_a_released_configuration() -> None:
    config = translate(floats())
    assert isinstance(config, GptOssConfig)
    assert config.windows == (128, None) * 12
    assert (config.qkv_bias, config.output_bias, config.swiglu_limit) == (True, True, 7.0)
    assert config.rope is not None
    assert config.rope.scaling == YarnScaling(32.0, 4096, truncate=False)
    assert config.experts is not None
    assert (config.experts.count, config.experts.routing.top_k) == (32, 4)


def test_gates_and_ups_lie_in_turn_and_transposed() -> None:
    checkpoint = source()
    stored = checkpoint.read("model.layers.1.mlp.experts.gate_up_proj").float32()
    bias = checkpoint.read("model.layers.1.mlp.experts.gate_up_proj_bias").float32()
    read = parameter_source(outline(checkpoint), checkpoint)
    assert np.array_equal(read("blocks.1.mlp.gate_up.gate.4.weight").float32(), stored[4, :, 0::2].T)
    assert np.array_equal(read("blocks.1.mlp.gate_up.up.4.weight").float32(), stored[4, :, 1::2].T)
    assert np.array_equal(read("blocks.1.mlp.gate_up.up.4.bias").float32(), bias[4, 1::2])


def test_experts_under_the_names_of_released_blocks_are_the_same() -> None:
    checkpoint = source()
    contents = dict(checkpoint.contents)
    for name in checkpoint.contents:
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            turned = np.ascontiguousarray(contents.pop(name).float32().transpose(0, 2, 1))
            contents[f"{name}_blocks"] = Tensor.from_array(f"{name}_blocks", turned)
    assert np.array_equal(logits(replace(checkpoint, contents=contents)), logits(checkpoint))


def test_released_blocks_are_read_in_the_place_of_floats() -> None:
    experts = "model.layers.23.mlp.experts"
    blocks = [f"{experts}.gate_up_proj_blocks", f"{experts}.down_proj_blocks"]
    names = tensor_names(floats(), Naming.HUGGING_FACE, blocks)
    assert names >= {*blocks, f"{experts}.gate_up_proj_bias", f"{experts}.down_proj_bias"}
    assert f"{experts}.gate_up_proj" not in names
    assert "model.layers.22.mlp.experts.gate_up_proj" in names


@pytest.fixture(scope="module")
def in_blocks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MemoryCheckpoint]:
    """A folder as released, with experts in MXFP4, and the same model with their values as floats."""
    original = source("gpt-oss-wide")
    stored: dict[str, torch.Tensor] = {}
    floats = dict(original.contents)
    for name, tensor in original.contents.items():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            pieces, values = mxfp4(np.ascontiguousarray(tensor.float32().transpose(0, 2, 1)))
            stored |= {f"{name}{suffix}": piece for suffix, piece in pieces.items()}
            floats[name] = Tensor.from_array(name, values.transpose(0, 2, 1).astype(np.float32))
        else:
            stored[name] = torch.from_numpy(tensor.float32().copy())
    folder = tmp_path_factory.mktemp("released")
    quantised = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
    write_folder(folder, {**original.config, "quantization_config": quantised}, stored)
    return folder, replace(original, contents=floats)


def test_a_folder_as_released_is_what_its_values_are(in_blocks: tuple[Path, MemoryCheckpoint]) -> None:
    folder, floats = in_blocks
    assert np.array_equal(logits(open_checkpoint(folder)), logits(floats))


def test_blocks_stay_blocks_in_gguf(in_blocks: tuple[Path, MemoryCheckpoint]) -> None:
    folder, floats = in_blocks
    exported = export(open_checkpoint(folder), Naming.GGUF, None, "tiny")
    contents = {lazy.info.name: Tensor(lazy.info, lazy.data()) for lazy in exported.tensors}
    assert contents["blk.0.ffn_up_exps.weight"].info.type is TensorType.MXFP4
    assert np.array_equal(logits(MemoryCheckpoint(exported.config, contents, Naming.GGUF)), logits(floats))


def test_routers_are_written_for_llama_cpp_as_float32() -> None:
    checkpoint = source()
    name = "model.layers.0.mlp.router.weight"
    halved = Tensor.from_array(name, checkpoint.read(name).float32().astype(np.float16))
    exported = export(replace(checkpoint, contents={**checkpoint.contents, name: halved}), Naming.GGUF, None, "tiny")
    types = {lazy.info.name: lazy.info.type for lazy in exported.tensors}
    assert types["blk.0.ffn_gate_inp.weight"] is TensorType.F32


def test_the_experts_biases_stay_floats_in_a_quantised_file() -> None:
    exported = export(source("gpt-oss-wide"), Naming.GGUF, WeightType.Q8, "tiny")
    types = {lazy.info.name: lazy.info.type for lazy in exported.tensors}
    assert types["blk.0.ffn_gate_exps.weight"] is TensorType.Q8_0
    floating = {name for name in types if name.endswith((".bias", "sinks.weight", "norm.weight"))}
    assert "blk.0.ffn_down_exps.bias" in floating
    assert {types[name] for name in floating} == {TensorType.F32}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("swiglu_alpha", 1.0),
        ("swiglu_limit", 0),
        ("hidden_act", "gelu"),
        ("rope_scaling", None),
        ("layer_types", ["sliding_attention"]),
        ("sliding_window", None),
        ("num_experts_per_tok", 33),
        ("num_local_experts", None),
        ("attention_bias", 1),
    ],
)
def test_values_that_cannot_be_honoured_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"`{key}`"):
        translate(floats() | {key: value})


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("gpt-oss-full", "a window on every other layer"),
        ("gpt-oss-limit", "a window on every other layer"),
        ("gpt-oss-no-biases", "biases in the attention"),
        ("gpt-oss-truncated-rope", "`truncate` is False"),
    ],
)
def test_what_llama_cpp_would_compute_differently_is_not_written(name: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        gguf_words(tiny(name))


def test_another_limit_or_a_tied_head_is_not_written() -> None:
    config = tiny("gpt-oss")
    assert isinstance(config, GptOssConfig)
    with pytest.raises(ConfigError, match="`swiglu_limit` 7"):
        gguf_words(replace(config, swiglu_limit=6.0))
    with pytest.raises(ConfigError, match="an output head of its own"):
        gguf_words(replace(config, tied_embeddings=True))


def test_gguf_leaves_the_ends_of_the_ramp_to_the_reader() -> None:
    config = tiny("gpt-oss-released-rope")
    assert reread(gguf_words(config), config) == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention.sliding_window_pattern", 3),
        ("attention.sliding_window", None),
        ("attention.key_length", None),
        ("expert_feed_forward_length", None),
        ("expert_gating_func", 2),
    ],
)
def test_values_in_gguf_that_cannot_be_honoured_are_refused(key: str, value: object) -> None:
    config = tiny("gpt-oss")
    words = gguf_words(config, **{key.replace(".", "__"): value})
    with pytest.raises(ConfigError, match=f"`gpt-oss.{key}`"):
        reread(words, config)
