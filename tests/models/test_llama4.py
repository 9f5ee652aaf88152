"""Llama 4: the text part of multimodal checkpoints, the patterns of its layers, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Llama4Config as TheirConfig
from transformers import Llama4ForConditionalGeneration

from freehold.checkpoints.base import MemoryCheckpoint, Naming
from freehold.errors import ConfigError, WeightMapError
from freehold.models import family_of, load_model
from freehold.models.describe import to_gguf
from freehold.models.families.llama4 import Llama4Config, Temperature
from freehold.ops.batch import Batch
from freehold.ops.torch import TorchOps
from freehold.tensors import Tensor
from tests.support.assets import asset
from tests.support.tiny import CONFIGURATIONS, checkpoint_of, relative_error

SEQUENCE = list(range(1, 40))
TINY = CONFIGURATIONS["llama4-chunks"].to_dict()
VISION = {
    "hidden_size": 16,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "vision_output_dim": 16,
    "projector_input_dim": 16,
    "projector_output_dim": 16,
}


def translate(values: dict[str, Any]) -> Llama4Config:
    config = family_of(MemoryCheckpoint(values, {}))[1]
    assert isinstance(config, Llama4Config)
    return config


def logits(checkpoint: MemoryCheckpoint) -> np.ndarray:
    model = load_model(checkpoint, TorchOps())
    return model.ops.to_numpy(model.forward(Batch.whole([SEQUENCE]), None))


@pytest.fixture(scope="module")
def multimodal() -> tuple[MemoryCheckpoint, np.ndarray]:
    """A model with eyes as transformers saves it, and what it makes of text."""
    torch.manual_seed(0)
    config = TheirConfig(text_config=TINY, vision_config=VISION, architectures=["Llama4ForConditionalGeneration"])
    build: Any = Llama4ForConditionalGeneration  # transformers leaves it without types
    model = build(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "norm" in name else 0.0, 0.2)
        expected = model(torch.tensor([SEQUENCE])).logits[0].numpy()
    return checkpoint_of(model), expected


def test_the_text_part_of_a_multimodal_model_is_run(multimodal: tuple[MemoryCheckpoint, np.ndarray]) -> None:
    checkpoint, expected = multimodal
    assert any(name.startswith("language_model.model.layers.") for name in checkpoint.tensors)
    assert any(name.startswith("vision_model.") for name in checkpoint.tensors)
    assert relative_error(logits(checkpoint), expected) < 1e-4


def test_what_belongs_to_no_part_of_it_is_refused(multimodal: tuple[MemoryCheckpoint, np.ndarray]) -> None:
    checkpoint, _ = multimodal
    extra = Tensor.from_array("audio_model.weight", np.zeros(3, np.float32))
    with pytest.raises(WeightMapError, match="`audio_model"):
        logits(replace(checkpoint, contents={**checkpoint.contents, extra.info.name: extra}))


@pytest.mark.parametrize(("model", "step"), [("Scout-17B-16E", 1), ("Maverick-17B-128E", 2)])
def test_the_layers_of_the_released_models(model: str, step: int) -> None:
    config = translate(json.loads(asset(f"configs/meta-llama--Llama-4-{model}-Instruct_config.json").read_text()))
    assert [layer for layer in range(48) if config.sparse[layer]] == list(range(step - 1, 48, step))
    assert [layer for layer in range(48) if not config.rotated[layer]] == list(range(3, 48, 4))
    assert config.chunks == tuple(8192 if rotated else None for rotated in config.rotated)
    assert config.temperature == Temperature(8192, 0.1)
    assert config.normalised == (model == "Scout-17B-16E")
    assert config.architecture == "Llama4ForCausalLM"


def test_a_larger_one_translates_too() -> None:
    """Behemoth's published numbers (288B active of nearly 2T, 16 experts); the others are not published."""
    values = {
        **TINY,
        "hidden_size": 16384,
        "num_attention_heads": 128,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "num_hidden_layers": 60,
        "num_local_experts": 16,
        "interleave_moe_layer_step": 1,
    }
    for listed in ("moe_layers", "no_rope_layers", "layer_types"):
        values.pop(listed)
    assert sum(translate(values).sparse) == 60


@pytest.mark.parametrize(("value", "on"), [(True, True), (False, False), (4, True), (0, False), (None, True)])
def test_temperature_may_be_switched_by_a_number_as_in_the_first_files(value: object, on: bool) -> None:
    assert (translate(TINY | {"attn_temperature_tuning": value}).temperature is not None) == on


def test_an_empty_list_of_layers_without_rope_stands_for_every_fourth() -> None:
    assert translate(TINY | {"no_rope_layers": []}).rotated == (True, True, True, False)
    assert translate(TINY | {"no_rope_layers": [], "no_rope_layer_interval": 2}).rotated == (True, False) * 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("no_rope_layers", [1, 1]),
        ("no_rope_layers", [1, 1, 1, 2]),
        ("no_rope_layers", "1110"),
        ("moe_layers", [4]),
        ("moe_layers", [True]),
        ("layer_types", ["chunked_attention"] * 3),
        ("layer_types", ["sliding_attention"] * 4),
        ("attention_chunk_size", 0),
        ("num_local_experts", 0),
        ("num_local_experts", 10**7),
        ("num_experts_per_tok", 7),
        ("intermediate_size_mlp", None),
        ("attn_temperature_tuning", "yes"),
        ("floor_scale", 0),
        ("attn_scale", float("nan")),
        ("use_qk_norm", 1),
        ("text_config", ["llama4_text"]),
    ],
)
def test_values_that_cannot_be_honoured_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        translate(TINY | {key: value})
    assert key in caught.value.message or (key == "num_local_experts" and "experts" in caught.value.message)


@pytest.mark.parametrize(
    ("differences", "condition"),
    [
        ({"attention_bias": True}, "no biases"),
        ({"moe_layers": [0]}, "so manieth layer"),
        ({"no_rope_layers": [1, 1, 0, 1]}, "a rotation"),
        ({"attention_chunk_size": 16}, "chunks of 8192"),
        ({"use_qk_norm": False}, "normalised queries"),
        ({"num_local_experts": 128}, "normalised queries"),
        ({"attn_temperature_tuning": False}, "Temperature"),
        ({"floor_scale": 4096}, "Temperature"),
    ],
)
def test_what_llama_cpp_takes_for_granted_is_not_written_otherwise(
    differences: dict[str, object], condition: str
) -> None:
    config = CONFIGURATIONS["llama4"].to_dict()
    config.pop("layer_types")
    assert to_gguf(translate(config), "tiny")["llama4.interleave_moe_layer_step"] == 1
    with pytest.raises(ConfigError, match=condition):
        to_gguf(translate(config | differences), "tiny")


@pytest.mark.parametrize(
    ("key", "value"), [("attention.sliding_window", 0), ("attention.sliding_window_pattern", 2), ("expert_count", 0)]
)
def test_gguf_values_that_cannot_be_honoured_are_refused(key: str, value: object) -> None:
    metadata = to_gguf(translate(CONFIGURATIONS["llama4"].to_dict()), "tiny") | {f"llama4.{key}": value}
    table = Tensor.from_array("token_embd.weight", np.zeros((97, 60), np.float32))
    with pytest.raises(ConfigError, match=f"llama4.{key}"):
        family_of(MemoryCheckpoint(metadata, {table.info.name: table}, Naming.GGUF))
