"""Released configurations translate to the published sizes; what cannot be honoured is refused by key and value."""

from __future__ import annotations

import json
from math import prod
from typing import Any

import pytest

from freehold.checkpoints.base import MemoryCheckpoint, Naming
from freehold.errors import ConfigError, UnsupportedArchitecture
from freehold.models import ModelConfig, family_of
from freehold.models.config import Llama3Scaling
from freehold.models.describe import to_gguf, to_hugging_face
from freehold.models.loading import outline, parameter_shapes
from freehold.models.weights import match_tensors
from freehold.tensors import Tensor, TensorInfo, TensorType
from tests.support.assets import asset
from tests.support.tiny import CONFIGURATIONS

# Parameters as published in the model cards, in billions.
PUBLISHED = {
    "meta-llama--Llama-3.3-70B-Instruct_config.json": 70.55,
    "meta-llama--Meta-Llama-3.1-8B_config.json": 8.03,
    "meta-llama--Meta-Llama-3.1-405B_config.json": 405.85,
    "mistralai--Mistral-7B-v0.3_config.json": 7.25,
    "mistralai--Mistral-Small-24B-Instruct-2501/config.json": 23.57,
    "Qwen--Qwen2.5-7B-Instruct_config.json": 7.62,
    "Qwen--Qwen2.5-32B-Instruct_config.json": 32.76,
    "Qwen--Qwen2.5-3B_config.json": 3.09,
    "Qwen--Qwen3-0.6B_config.json": 0.60,
    "Qwen--Qwen3-1.7B_config.json": 1.72,
    "Qwen--Qwen3-8B_config.json": 8.19,
    "Qwen--Qwen3-32B_config.json": 32.76,
    "Qwen--Qwen3-30B-A3B_config.json": 30.53,
    "Qwen--Qwen3-32B-FP8_config.json": 32.76,
    "Qwen--Qwen3-32B-FP8-Static-PerTensor_config.json": 32.76,
    "Qwen--Qwen3-30B-A3B-FP8_config.json": 30.53,
    "Qwen--Qwen3-235B-A22B_config.json": 235.09,
    "Qwen--Qwen3-235B-A22B-FP8_config.json": 235.09,
    "Qwen--Qwen3-Coder-480B-A35B-Instruct_config.json": 480.15,
    "mistralai--Mixtral-8x7B-v0.1_config.json": 46.70,
    "mistralai--Mixtral-8x22B-v0.1_config.json": 140.62,
    # All of them, embedding and head included, as the model card's first table counts.
    "openai--gpt-oss-20b_config.json": 20.91,
    "openai--gpt-oss-120b_config.json": 116.83,
    "Qwen--Qwen3.5-9B_config.json": 8.95,
    "Qwen--Qwen3.5-27B_config.json": 26.90,
    "Qwen--Qwen3.5-35B-A3B_config.json": 34.66,
    "Qwen--Qwen3.5-122B-A10B_config.json": 122.11,
    "Qwen--Qwen3.5-397B-A17B_config.json": 396.35,
    "google--gemma-2-2b-it_config.json": 2.61,
    "tiiuae--falcon-40b_config.json": 41.30,
    "stabilityai--stablelm-2-zephyr-1_6b_config.json": 1.64,
    "stabilityai--stablelm-3b-4e1t_config.json": 2.80,
    "tiiuae--falcon-40b_original/config.json": 41.30,
    "google--gemma-2-9b-it_config.json": 9.24,
    "google--gemma-2-27b-it_config.json": 27.23,
    # Without the layer that predicts a second token, and without the scales of its FP8 blocks.
    "deepseek-ai--DeepSeek-V3_config.json": 671.03,
    "deepseek-ai--DeepSeek-R1_config.json": 671.03,
    # Without the eyes; the published 109B and 400B are rounded.
    "meta-llama--Llama-4-Scout-17B-16E-Instruct_config.json": 107.77,
    "meta-llama--Llama-4-Maverick-17B-128E-Instruct_config.json": 400.71,
}

VALID: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


def translate(values: dict[str, Any]) -> ModelConfig:
    return family_of(MemoryCheckpoint(values, {}))[1]


@pytest.mark.parametrize("name", PUBLISHED)
def test_released_configurations_have_the_published_number_of_parameters(name: str) -> None:
    values = json.loads(asset(f"configs/{name}").read_text())
    model = outline(MemoryCheckpoint(values, {}))
    parameters = sum(prod(shape) for shape in parameter_shapes(model).values())
    assert round(parameters / 1e9, 2) == PUBLISHED[name]


@pytest.mark.parametrize("folder", ["Reflection-Llama-3.1-70B", "mistralai--Mistral-Small-24B-Instruct-2501"])
def test_weight_maps_cover_the_tensor_names_of_released_models(folder: str) -> None:
    values = json.loads(asset(f"configs/{folder}/config.json").read_text())
    released = json.loads(asset(f"configs/{folder}/model.safetensors.index.json").read_text())["weight_map"]
    model = outline(MemoryCheckpoint(values, {}))
    tensors = model.weights.tensors(Naming.HUGGING_FACE, model.config, parameter_shapes(model), released)
    assert {tensor.name for tensor in tensors} == set(released)


# What a converted model's file holds -> what tells its configuration.
CONVERTED: dict[str, dict[str, Any]] = {
    "Qwen2.5-0.5B-Instruct": {"architectures": ["Qwen2ForCausalLM"], "num_hidden_layers": 24},
    "gemma-2-2b-it": {"architectures": ["Gemma2ForCausalLM"], "num_hidden_layers": 26, "sliding_window": 4096},
    "Meta-Llama-3-8B-Instruct": {"num_hidden_layers": 32, "tie_word_embeddings": False},
    "Mistral-7B-Instruct-v0.2": {
        "architectures": ["MistralForCausalLM"],
        "num_hidden_layers": 32,
        "tie_word_embeddings": False,
    },
    "all-MiniLM-L6-v2": {"architectures": ["BertModel"], "num_hidden_layers": 6},
}


def test_the_weight_map_covers_the_tensor_names_of_falcon_40b() -> None:
    folder = "configs/tiiuae--falcon-40b_original"
    released = json.loads(asset(f"{folder}/pytorch_model.bin.index.json").read_text())["weight_map"]
    model = outline(MemoryCheckpoint(json.loads(asset(f"{folder}/config.json").read_text()), {}))
    tensors = model.weights.tensors(Naming.HUGGING_FACE, model.config, parameter_shapes(model), released)
    assert {tensor.name for tensor in tensors} | {"lm_head.weight"} == set(released)  # a copy of the embedding


@pytest.mark.parametrize("name", CONVERTED)
def test_weight_maps_cover_the_tensor_names_of_converted_models(name: str) -> None:
    expected = json.loads(asset(f"configs/ollama-convert-expected/{name}.json").read_text())
    released = {name for name in expected if name.endswith((".weight", ".bias"))}
    model = outline(MemoryCheckpoint({**VALID, "tie_word_embeddings": True, **CONVERTED[name]}, {}))
    tensors = model.weights.tensors(Naming.GGUF, model.config, parameter_shapes(model), released)
    assert {tensor.name for tensor in tensors} == released


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_describing_a_configuration_to_hugging_face_and_reading_it_back_changes_nothing(name: str) -> None:
    config = translate(CONFIGURATIONS[name].to_dict())
    assert translate(json.loads(json.dumps(to_hugging_face(config)))) == config


@pytest.mark.parametrize(
    "name",
    [
        "llama",
        "llama-linear-rope",
        "llama-head-dim",
        "mistral-window",
        "qwen2-yarn",
        "qwen3",
        "qwen3-moe",
        "mixtral-window",
        "gpt-oss-released-rope",
        "deepseek-v3",
        "deepseek-v3-plain-queries",
        "llama4-interleaved",
    ],
)
def test_describing_a_configuration_to_gguf_and_reading_it_back_changes_nothing(name: str) -> None:
    config = translate(CONFIGURATIONS[name].to_dict())
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (config.vocabulary, config.hidden)}
    if not config.tied_embeddings:
        shapes["output.weight"] = (config.vocabulary, config.hidden)
    described = _Described(to_gguf(config, "test"), shapes)
    assert family_of(described)[1] == config


class _Described(MemoryCheckpoint):
    """A checkpoint of which only the metadata and the shapes are looked at."""

    def __init__(self, config: dict[str, Any], shapes: dict[str, tuple[int, ...]]):
        super().__init__(config, {}, naming=Naming.GGUF)
        object.__setattr__(self, "shapes", shapes)

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        shapes: dict[str, tuple[int, ...]] = object.__getattribute__(self, "shapes")
        return {name: TensorInfo(name, shape, TensorType.F32) for name, shape in shapes.items()}


def test_newer_and_older_spellings_of_rope_mean_the_same() -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    older = translate(VALID | {"rope_theta": 500000.0, "rope_scaling": scaling})
    newer = translate(VALID | {"rope_parameters": scaling | {"rope_theta": 500000.0}})
    assert older == newer
    assert older.rope is not None
    assert older.rope.scaling == Llama3Scaling(8.0, 1.0, 4.0, 8192)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", 0),
        ("hidden_size", -64),
        ("hidden_size", 2**31),
        ("hidden_size", 64.0),
        ("hidden_size", "64"),
        ("hidden_size", True),
        ("num_hidden_layers", 2**31 - 1),
        ("num_attention_heads", 3),
        ("rms_norm_eps", float("nan")),
        ("rms_norm_eps", 0),
        ("rope_theta", float("inf")),
        ("hidden_act", "mish"),
        ("tie_word_embeddings", "yes"),
        ("rope_scaling", "linear"),
        ("rope_scaling", {"rope_type": "dynamic", "factor": 2.0}),
        ("rope_scaling", {"rope_type": "linear", "factor": -1.0}),
        ("auto_map", {"AutoModelForCausalLM": "modeling.Model"}),
        ("head_dim", 15),
    ],
)
def test_values_that_cannot_be_honoured_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        translate(VALID | {key: value})
    assert key in caught.value.message or key in ("num_attention_heads", "head_dim")


def test_an_absent_value_is_named() -> None:
    values = dict(VALID)
    del values["hidden_size"]
    with pytest.raises(ConfigError, match="`hidden_size` is absent"):
        translate(values)


def test_an_unknown_architecture_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(UnsupportedArchitecture, match="LlamaForCausalLm") as caught:
        translate(VALID | {"architectures": ["LlamaForCausalLm"]})
    assert caught.value.hint == "the nearest one is LlamaForCausalLM"


@pytest.mark.parametrize("architectures", [None, [], ["LlamaForCausalLM", "MistralForCausalLM"], "x" * 10_000, 3])
def test_malformed_architectures_are_refused(architectures: object) -> None:
    with pytest.raises(UnsupportedArchitecture) as caught:
        translate(VALID | {"architectures": architectures})
    assert len(caught.value.message) < 500


def test_tied_models_may_carry_a_copy_of_the_embedding() -> None:
    values = VALID | {"tie_word_embeddings": True}
    model = outline(MemoryCheckpoint(values, {}))
    shapes = parameter_shapes(model)
    stored = model.weights.tensors(Naming.HUGGING_FACE, model.config, shapes)
    shapes_of_tensors = {tensor.name: tensor.shape for tensor in stored} | {"lm_head.weight": (96, 64)}
    infos = [TensorInfo(name, shape, TensorType.F32) for name, shape in shapes_of_tensors.items()]
    contents = {info.name: Tensor(info, None) for info in infos}  # type: ignore[arg-type]
    assert len(match_tensors(model.weights, model.config, shapes, MemoryCheckpoint(values, contents))) == len(shapes)
