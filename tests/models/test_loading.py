"""Loading is total: nothing missing, nothing left over, nothing misshapen; and a model's weights come back out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from freehold.checkpoints.base import MemoryCheckpoint
from freehold.errors import WeightMapError
from freehold.models import load_model
from freehold.models.state import initial_checkpoint, snapshot, trainable
from freehold.models.weights import halves_from_pairs, pairs_from_halves
from freehold.ops.batch import Batch
from freehold.ops.torch import TorchOps
from freehold.tensors import Tensor, WeightType
from tests.support.tiny import CONFIGURATIONS, checkpoint_of, reference


@pytest.fixture
def checkpoint() -> MemoryCheckpoint:
    return checkpoint_of(reference(CONFIGURATIONS["llama"]))


def test_a_missing_tensor_is_named(checkpoint: MemoryCheckpoint) -> None:
    contents = dict(checkpoint.contents)
    del contents["model.layers.1.mlp.up_proj.weight"]
    with pytest.raises(WeightMapError, match=r"lacks tensor: `model.layers.1.mlp.up_proj.weight`"):
        load_model(replace(checkpoint, contents=contents), TorchOps())


def test_a_left_over_tensor_is_named(checkpoint: MemoryCheckpoint) -> None:
    extra = Tensor.from_array("model.layers.2.mlp.up_proj.weight", np.zeros((106, 60), np.float32))
    contents = {**checkpoint.contents, extra.info.name: extra}
    with pytest.raises(WeightMapError, match=r"unexpected tensor: `model.layers.2.mlp.up_proj.weight`"):
        load_model(replace(checkpoint, contents=contents), TorchOps())


def test_a_misshapen_tensor_is_named_with_both_shapes(checkpoint: MemoryCheckpoint) -> None:
    name = "model.layers.0.mlp.down_proj.weight"
    contents = {**checkpoint.contents, name: Tensor.from_array(name, np.zeros((106, 60), np.float32))}
    with pytest.raises(WeightMapError, match=r"\[106, 60\].*\[60, 106\]"):
        load_model(replace(checkpoint, contents=contents), TorchOps())


def test_many_faults_are_summarised(checkpoint: MemoryCheckpoint) -> None:
    with pytest.raises(WeightMapError, match="and 16 more"):
        load_model(replace(checkpoint, contents={}), TorchOps())


def test_rotary_tables_of_old_checkpoints_are_left_unread(checkpoint: MemoryCheckpoint) -> None:
    table = Tensor.from_array("model.layers.0.self_attn.rotary_emb.inv_freq", np.zeros(5, np.float32))
    load_model(replace(checkpoint, contents={**checkpoint.contents, table.info.name: table}), TorchOps())


def test_progress_counts_up_to_every_weight(checkpoint: MemoryCheckpoint) -> None:
    seen: list[tuple[int, int]] = []
    load_model(checkpoint, TorchOps(), progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, seen[0][1] + 1))


@pytest.mark.parametrize("name", ["llama", "llama-biases", "qwen2"])
def test_a_snapshot_holds_what_was_loaded(name: str) -> None:
    checkpoint = checkpoint_of(reference(CONFIGURATIONS[name]))
    taken = snapshot(load_model(checkpoint, TorchOps()), checkpoint.config)
    assert set(taken.tensors) == set(checkpoint.tensors)
    for tensor in checkpoint.tensors:
        assert np.array_equal(taken.read(tensor).float32(), checkpoint.read(tensor).float32())


def test_every_weight_gets_a_gradient() -> None:
    config = CONFIGURATIONS["llama-biases"].to_dict()
    model = load_model(initial_checkpoint(config, seed=1), TorchOps())
    parameters = {name: parameter.requires_grad_() for name, parameter in trainable(model)}
    model.forward(Batch.whole([[1, 2, 3], [4, 5]]), None).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in parameters.values())


def test_initial_weights_are_the_same_for_the_same_seed() -> None:
    config = CONFIGURATIONS["llama"].to_dict()
    first, second, third = (initial_checkpoint(config, seed) for seed in (1, 1, 2))
    name = "model.layers.0.mlp.up_proj.weight"
    assert np.array_equal(first.read(name).float32(), second.read(name).float32())
    assert not np.array_equal(first.read(name).float32(), third.read(name).float32())


@pytest.mark.parametrize(("rows", "head_dim"), [(8, 4), (60, 10), (6, 6)])
def test_pairs_and_halves_are_inverse(rows: int, head_dim: int) -> None:
    order = halves_from_pairs(rows, head_dim)
    assert np.array_equal(order[pairs_from_halves(rows, head_dim)], np.arange(rows))
    assert order[:2].tolist() == [0, 2]


def test_embeddings_are_held_at_8_bits_where_4_are_asked_for(checkpoint: MemoryCheckpoint) -> None:
    model = load_model(checkpoint, TorchOps(), WeightType.Q4)
    name = "model.embed_tokens.weight"
    error = np.abs(model.embedding.weight.weight.numpy() - checkpoint.read(name).float32()).max()
    assert 0 < error < np.abs(checkpoint.read(name).float32()).max() / 127
