"""Exports describe the same model in the other format's words, order of rows and types."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from freehold.checkpoints.base import MemoryCheckpoint, Naming
from freehold.errors import ConfigError
from freehold.models import load_model
from freehold.models.export import Exported, export
from freehold.ops.batch import Batch
from freehold.ops.torch import TorchOps
from freehold.tensors import Tensor, TensorType, WeightType
from tests.support.described import gguf_can_say
from tests.support.tiny import CONFIGURATIONS, checkpoint_of, reference, relative_error

SEQUENCES = [[5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], [1]]


def as_checkpoint(exported: Exported, naming: Naming) -> MemoryCheckpoint:
    contents = {lazy.info.name: Tensor(lazy.info, lazy.data()) for lazy in exported.tensors}
    return MemoryCheckpoint(exported.config, contents, naming)


def logits(checkpoint: MemoryCheckpoint) -> np.ndarray:
    model = load_model(checkpoint, TorchOps())
    return model.ops.to_numpy(model.forward(Batch.whole(SEQUENCES), None))


@cache
def source(name: str) -> MemoryCheckpoint:
    return checkpoint_of(reference(CONFIGURATIONS[name]))


SAID = [name for name in CONFIGURATIONS if gguf_can_say(name)]
# Where neither naming rounds anything, and a folder of ours has the names that transformers writes. GGUF keeps Llama
# 3.1's scaling as factors, which are recognised only where they are those of a released model.
EXACT = ("deepseek", "llama", "mistral", "mixtral", "qwen2", "qwen3", "gpt-oss")
SAID_BACK = [
    name for name in SAID if name.startswith(EXACT) and not name.startswith("qwen3.5") and name != "llama-3.1-rope"
]


@pytest.mark.parametrize("name", SAID)
def test_to_gguf_and_back_gives_the_same_model(name: str) -> None:
    original = source(name)
    through = as_checkpoint(export(original, Naming.GGUF, None, "tiny"), Naming.GGUF)
    assert relative_error(logits(through), logits(original)) < 1e-5


@pytest.mark.parametrize("name", SAID_BACK)
def test_back_in_hugging_face_form_every_tensor_is_the_same(name: str) -> None:
    original = source(name)
    through = as_checkpoint(export(original, Naming.GGUF, None, "tiny"), Naming.GGUF)
    back = as_checkpoint(export(through, Naming.HUGGING_FACE, None, "tiny"), Naming.HUGGING_FACE)
    assert set(back.tensors) == set(original.tensors)
    for tensor in original.tensors:
        assert np.array_equal(back.read(tensor).float32(), original.read(tensor).float32())


def test_gguf_keeps_llamas_queries_in_pairs() -> None:
    original = source("llama")
    exported = as_checkpoint(export(original, Naming.GGUF, None, "tiny"), Naming.GGUF)
    ours = original.read("model.layers.0.self_attn.q_proj.weight").float32()
    theirs = exported.read("blk.0.attn_q.weight").float32()
    assert np.array_equal(theirs[:4], ours[[0, 5, 1, 6]])


def test_released_rope_factors_are_recognised_and_others_are_refused() -> None:
    original = source("llama-3.1-rope")
    through = as_checkpoint(export(original, Naming.GGUF, None, "tiny"), Naming.GGUF)
    with pytest.raises(ConfigError, match="frequency factors"):
        export(through, Naming.HUGGING_FACE, None, "tiny")
    released = dict(original.config)
    released["rope_parameters"] = {**released["rope_parameters"], "original_max_position_embeddings": 8192}
    through = as_checkpoint(
        export(MemoryCheckpoint(released, original.contents), Naming.GGUF, None, "tiny"), Naming.GGUF
    )
    assert export(through, Naming.HUGGING_FACE, None, "tiny").config["rope_scaling"]["factor"] == 8.0


def test_a_window_on_some_layers_cannot_be_said_in_gguf() -> None:
    with pytest.raises(ConfigError, match="only some layers"):
        export(source("qwen2-window"), Naming.GGUF, None, "tiny")


def test_safetensors_holds_no_quantised_weights() -> None:
    with pytest.raises(ConfigError, match="floats, not q4"):
        export(source("llama"), Naming.HUGGING_FACE, WeightType.Q4, "tiny")


def test_types_of_a_quantised_export() -> None:
    configuration = CONFIGURATIONS["llama"].__class__(
        **{**CONFIGURATIONS["llama"].to_dict(), "hidden_size": 96, "intermediate_size": 106, "head_dim": 16}
    )
    exported = export(checkpoint_of(reference(configuration)), Naming.GGUF, WeightType.Q4, "tiny")
    types = {lazy.info.name: lazy.info.type for lazy in exported.tensors}
    assert types["blk.0.attn_q.weight"] is TensorType.Q4_0
    assert types["token_embd.weight"] is types["output.weight"] is TensorType.Q8_0
    assert types["blk.1.attn_norm.weight"] is TensorType.F32
    assert types["blk.0.ffn_down.weight"] is TensorType.F16
    assert exported.widened == ["blk.0.ffn_down.weight", "blk.1.ffn_down.weight"]
    assert exported.config["general.file_type"] == 2


def test_exporting_at_half_precision_rounds_matrices_and_keeps_vectors() -> None:
    original = source("qwen2")
    exported = as_checkpoint(export(original, Naming.HUGGING_FACE, WeightType.F16, "tiny"), Naming.HUGGING_FACE)
    matrix, vector = "model.layers.0.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.bias"
    assert exported.tensors[matrix].type is TensorType.F16
    assert exported.tensors[vector].type is TensorType.F32
    assert np.array_equal(
        exported.read(matrix).float32(), original.read(matrix).float32().astype(np.float16).astype(np.float32)
    )
