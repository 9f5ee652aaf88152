"""Qwen 3.5's files as they are released: nested configuration, tensors of other parts, orders of heads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest

from freehold.checkpoints.base import MemoryCheckpoint, Naming
from freehold.errors import ConfigError, WeightMapError
from freehold.models import family_of, load_model
from freehold.models.export import export
from freehold.models.families.qwen3_5 import GROUPED, TILED, Qwen35Config
from freehold.models.loading import locate, outline, parameter_shapes
from freehold.ops.batch import Batch
from freehold.ops.torch import TorchOps
from freehold.tensors import Tensor, TensorInfo, TensorType
from tests.support.assets import asset
from tests.support.tiny import CONFIGURATIONS, checkpoint_of, reference, relative_error

DENSE, MOE = "Qwen--Qwen3.5-9B_config.json", "Qwen--Qwen3.5-35B-A3B_config.json"
SEQUENCES = [[5, 6, 7, 8, 9, 10, 11], [1]]


def released(name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(asset(f"configs/{name}").read_text())
    return values


def config_of(values: Mapping[str, Any]) -> Qwen35Config:
    config = family_of(MemoryCheckpoint(values, {}))[1]
    assert isinstance(config, Qwen35Config)
    return config


def logits(checkpoint: MemoryCheckpoint) -> np.ndarray:
    model = load_model(checkpoint, TorchOps())
    return model.ops.to_numpy(model.forward(Batch.whole(SEQUENCES), None))


def source(name: str) -> MemoryCheckpoint:
    return checkpoint_of(reference(CONFIGURATIONS[name]))


def in_gguf(checkpoint: MemoryCheckpoint) -> MemoryCheckpoint:
    exported = export(checkpoint, Naming.GGUF, None, "tiny")
    contents = {lazy.info.name: Tensor(lazy.info, lazy.data()) for lazy in exported.tensors}
    return MemoryCheckpoint(exported.config, contents, Naming.GGUF)


def test_the_text_part_of_a_released_configuration() -> None:
    config = config_of(released(DENSE))
    assert (config.architecture, config.layers, config.hidden) == ("Qwen3_5ForCausalLM", 32, 4096)
    assert config.linear == (True, True, True, False) * 8
    assert (config.delta.key_heads, config.delta.value_heads, config.delta.width) == (16, 32, 4)
    assert config.rope is not None
    assert (config.rope.dimensions, config.rope.theta) == (64, 1e7)


def test_which_layers_are_linear_follows_from_the_interval_where_nothing_lists_them() -> None:
    values = released(DENSE)
    del values["text_config"]["layer_types"]
    assert config_of(values) == config_of(released(DENSE))


@pytest.mark.parametrize(("key", "value"), [
    ("attn_output_gate", False),
    ("mamba_ssm_dtype", "bfloat16"),
    ("layer_types", ["linear_attention"] * 31),
    ("layer_types", ["sliding_attention"] * 32),
    ("layer_types", "linear_attention"),
    ("linear_num_key_heads", 0),
    ("linear_conv_kernel_dim", -1),
    ("linear_value_head_dim", None),
    ("hidden_act", "gelu"),
    ("rope_parameters", {"rope_type": "dynamic", "rope_theta": 1e7}),
])  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_key(key: str, value: object) -> None:
    values = released(DENSE)
    values["text_config"][key] = value
    with pytest.raises(ConfigError) as caught:
        config_of(values)
    assert key in caught.value.message or key == "rope_parameters"


@pytest.mark.parametrize(("key", "value"), [
    ("mlp_only_layers", [3]),
    ("num_experts", 0),
    ("num_experts_per_tok", 257),
    ("shared_expert_intermediate_size", None),
])  # fmt: skip
def test_what_cannot_be_honoured_of_a_mixture_is_refused_by_key(key: str, value: object) -> None:
    values = released(MOE)
    values["text_config"][key] = value
    with pytest.raises(ConfigError, match=key):
        config_of(values)


def test_value_heads_that_cannot_share_key_heads_are_refused() -> None:
    values = released(DENSE)
    values["text_config"]["linear_num_value_heads"] = 33
    with pytest.raises(ConfigError, match=r"33.*16"):
        config_of(values)


def test_released_tensors_lie_below_language_model_beside_parts_that_are_left_unread() -> None:
    original = source("qwen3.5-moe")
    contents = {name.replace("model.", "model.language_model.", 1): original.read(name) for name in original.tensors}
    for name in ("model.visual.blocks.0.attn.qkv.weight", "mtp.layers.0.mlp.down_proj.weight", "mtp.fc.weight"):
        contents[name] = Tensor.from_array(name, np.zeros((2, 2), np.float32))
    values = {"architectures": ["Qwen3_5MoeForConditionalGeneration"], "text_config": dict(original.config)}
    nested = MemoryCheckpoint(values, contents)
    assert np.array_equal(logits(nested), logits(original))
    contents["model.language_model.layers.0.linear_attn.extra.weight"] = contents["mtp.fc.weight"]
    with pytest.raises(WeightMapError, match="extra"):
        locate(outline(nested), nested)


def test_experts_are_read_one_by_one_and_fused_as_released() -> None:
    original = source("qwen3.5-moe")
    contents = {name: original.read(name) for name in original.tensors}
    for layer in range(4):
        prefix = f"model.layers.{layer}.mlp.experts"
        parts = {
            part: np.stack([contents.pop(f"{prefix}.{e}.{part}.weight").float32() for e in range(5)])
            for part in ("gate_proj", "up_proj", "down_proj")
        }
        fused = np.concatenate([parts["gate_proj"], parts["up_proj"]], 1)
        contents[f"{prefix}.gate_up_proj"] = Tensor.from_array(f"{prefix}.gate_up_proj", fused)
        contents[f"{prefix}.down_proj"] = Tensor.from_array(f"{prefix}.down_proj", parts["down_proj"])
    assert np.array_equal(logits(MemoryCheckpoint(original.config, contents)), logits(original))


def test_gguf_tiles_value_heads_and_reads_them_as_they_lie() -> None:
    original = source("qwen3.5")
    through = in_gguf(original)
    gates = original.read("model.layers.0.linear_attn.in_proj_b.weight").float32()
    assert np.array_equal(through.read("blk.0.ssm_beta.weight").float32(), gates[[0, 3, 1, 4, 2, 5]])
    outputs = original.read("model.layers.0.linear_attn.out_proj.weight").float32().reshape(60, 6, 16)
    assert np.array_equal(
        through.read("blk.0.ssm_out.weight").float32().reshape(60, 6, 16), outputs[:, [0, 3, 1, 4, 2, 5]]
    )
    config = family_of(through)[1]
    assert isinstance(config, Qwen35Config)
    assert config.delta.tiled
    assert config == config_of(original.config)
    assert relative_error(logits(through), logits(original)) < 1e-5
    # Quantised files are read without touching a byte, so nothing may have to move.
    assert np.array_equal(TILED(config, config.delta.channels), np.arange(config.delta.channels))
    assert np.array_equal(np.sort(GROUPED(config, 6)), np.arange(6))


def test_gguf_keeps_small_weights_in_float32_and_the_shared_gate_as_a_vector() -> None:
    original = source("qwen3.5-moe")
    halved = {
        name: Tensor.from_array(name, original.read(name).float32().astype(np.float16)) for name in original.tensors
    }
    tensors = in_gguf(MemoryCheckpoint(original.config, halved)).tensors
    assert tensors["blk.0.ssm_conv1d.weight"] == TensorInfo("blk.0.ssm_conv1d.weight", (160, 4), TensorType.F32)
    assert tensors["blk.0.ffn_gate_inp_shexp.weight"].shape == (60,)
    assert tensors["blk.0.ffn_gate_exps.weight"].shape == (5, 20, 60)
    assert tensors["blk.0.ssm_a"].type is TensorType.F32


def test_layers_for_drafting_in_a_gguf_are_left_unread() -> None:
    through = in_gguf(source("qwen3.5"))
    extra = Tensor.from_array("blk.4.nextn.eh_proj.weight", np.zeros((60, 120), np.float32))
    config = {**through.config, "qwen35.block_count": 5, "qwen35.nextn_predict_layers": 1}
    contents = {name: through.read(name) for name in through.tensors} | {extra.info.name: extra}
    assert np.array_equal(logits(MemoryCheckpoint(config, contents, Naming.GGUF)), logits(through))


@pytest.mark.parametrize(("name", "changes", "message"), [
    ("qwen3.5-uneven", {}, "every so many layers"),
    ("qwen3.5", {"linear_value_head_dim": 8}, "16 and 8"),
    ("qwen3.5", {"attention_bias": True}, "biases"),
])  # fmt: skip
def test_gguf_has_no_words_for_everything(name: str, changes: dict[str, Any], message: str) -> None:
    model = outline(MemoryCheckpoint(CONFIGURATIONS[name].to_dict() | changes, {}))
    with pytest.raises(ConfigError, match=message):
        type(model).to_gguf(model.config)


@pytest.mark.parametrize(("key", "value"), [
    ("qwen35.ssm.inner_size", 97),
    ("qwen35.ssm.group_count", 4),
    ("qwen35.attention.recurrent_layers", [True, False]),
    ("qwen35.nextn_predict_layers", -1),
])  # fmt: skip
def test_gguf_metadata_that_contradict_themselves_are_refused(key: str, value: object) -> None:
    through = in_gguf(source("qwen3.5"))
    with pytest.raises(ConfigError):
        family_of(replace(through, config={**through.config, key: value}))


def test_a_mixture_has_its_experts_and_a_gated_shared_one() -> None:
    model = outline(MemoryCheckpoint(released(MOE), {}))
    shapes = parameter_shapes(model)
    assert shapes["blocks.0.mlp.gate_up.gate.255.weight"] == (512, 2048)
    assert shapes["blocks.0.mlp.shared_gate.weight"] == (1, 2048)
    routed = sum(prod(shape) for name, shape in shapes.items() if name.split(".")[-2].isdigit())
    assert routed == 40 * 256 * 3 * 512 * 2048
