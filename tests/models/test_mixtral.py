"""Mixtral's files as they are released, in both namings, and the first GGUF files of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from freehold.checkpoints.base import MemoryCheckpoint, Naming
from freehold.errors import ConfigError
from freehold.models import family_of, load_model
from freehold.models.export import export
from freehold.models.families.mixtral import Mixtral
from freehold.ops.batch import Batch
from freehold.ops.torch import TorchOps
from freehold.tensors import Tensor
from tests.support.assets import asset
from tests.support.described import gguf_words, released, reread, tensor_names, tiny, translate
from tests.support.tiny import CONFIGURATIONS, checkpoint_of, reference

FINE_TUNE = "dolphin-2.5-mixtral-8x7b/config.json"
CONVERTED = "configs/ollama-convert-expected/Mixtral-8x7B-Instruct-v0.1.json"


def in_gguf() -> MemoryCheckpoint:
    exported = export(checkpoint_of(reference(CONFIGURATIONS["mixtral"])), Naming.GGUF, None, "tiny")
    contents = {lazy.info.name: Tensor(lazy.info, lazy.data()) for lazy in exported.tensors}
    return MemoryCheckpoint(exported.config, contents, Naming.GGUF)


def logits(checkpoint: MemoryCheckpoint) -> np.ndarray:
    model = load_model(checkpoint, TorchOps())
    return model.ops.to_numpy(model.forward(Batch.whole([[5, 6, 7, 8, 9], [1]]), None))


def test_the_weight_map_covers_the_tensors_of_a_released_folder() -> None:
    index = json.loads(asset("configs/dolphin-2.5-mixtral-8x7b/pytorch_model.bin.index.json").read_text())
    names = set(index["weight_map"])
    assert tensor_names(released(FINE_TUNE), Naming.HUGGING_FACE) == names
    assert tensor_names(released(FINE_TUNE), Naming.HUGGING_FACE, list(names)) == names


def test_the_weight_map_covers_the_tensors_of_a_converted_file() -> None:
    expected = json.loads(asset(CONVERTED).read_text())
    names = {name for name in expected if name.endswith(".weight")}
    assert tensor_names(released(FINE_TUNE), Naming.GGUF) == names
    assert tensor_names(released(FINE_TUNE), Naming.GGUF, list(names)) == names


def test_the_metadata_say_what_those_of_a_converted_file_say() -> None:
    expected = {key: value for key, value in json.loads(asset(CONVERTED).read_text()).items() if key[:6] == "llama."}
    written = gguf_words(translate(released(FINE_TUNE)))
    assert {key: float(written[key]) for key in expected} == {key: float(value) for key, value in expected.items()}


def test_gguf_files_with_experts_are_mixtrals_though_they_say_llama() -> None:
    config = tiny("mixtral-window")
    words = gguf_words(config)
    assert words["general.architecture"] == "llama"
    assert reread(words, config) == config
    assert family_of(in_gguf())[0] is Mixtral


def test_no_experts_make_a_llama() -> None:
    config = tiny("llama")
    assert reread(gguf_words(config, expert_count=0), config) == config


def test_the_first_gguf_files_had_a_tensor_for_each_expert() -> None:
    stacked = in_gguf()
    contents = dict(stacked.contents)
    for name in stacked.contents:
        if "_exps" in name:
            for expert, matrix in enumerate(contents.pop(name).float32()):
                single = name.replace("_exps.weight", f".{expert}.weight")
                contents[single] = Tensor.from_array(single, matrix)
    assert "blk.1.ffn_gate.4.weight" in contents
    assert np.array_equal(logits(replace(stacked, contents=contents)), logits(stacked))


def test_queries_are_kept_in_pairs_in_gguf() -> None:
    original = checkpoint_of(reference(CONFIGURATIONS["mixtral"]))
    ours = original.read("model.layers.0.self_attn.q_proj.weight").float32()
    assert np.array_equal(in_gguf().read("blk.0.attn_q.weight").float32()[:4], ours[[0, 5, 1, 6]])


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_experts_per_tok", 9), ("num_local_experts", 0), ("sliding_window", -1), ("hidden_act", "gelu_new")],
)
def test_values_that_cannot_be_honoured_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"`{key}`"):
        translate(released(FINE_TUNE) | {key: value})
