"""Predicted memory against what a loaded model really takes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from freehold.catalogue import Entry, families
from freehold.fitting import Cache, Demand, Resources, estimate, is_described, subject_of, weight_bytes
from freehold.models import load_model
from freehold.models.blocks import ExpertsLinear, Leaf, Linear
from freehold.models.decoder import Decoder
from freehold.models.registry import FAMILIES
from freehold.ops import create_ops
from freehold.ops.base import CacheType, DeltaCache
from freehold.tensors import WeightType
from tests.fitting.models import LLAMA, MISTRAL, MIXTRAL, QWEN2, checkpoint, subject

MEASURE = Path(__file__).with_name("measure.py")
ONE_OF_EACH = {
    entry.architecture: entry
    for family in families()
    for entry in family.entries
    if is_described(entry) and entry.architecture in FAMILIES
}.values()
LARGER = {
    **LLAMA,
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "vocab_size": 8192,
    "max_position_embeddings": 1024,
    "torch_dtype": "float16",
}


def held(leaf: Leaf) -> int:
    """Bytes of the buffers behind a loaded leaf."""
    if isinstance(leaf, Linear):
        return int(sum(part.bytes for part in leaf.weight.parts)) + sum(leaf.parts[part] for part in leaf.biased) * 4
    if isinstance(leaf, ExpertsLinear):
        return int(sum(part.bytes for expert in leaf.weight.parts for part in expert))
    loaded: Any = leaf
    return int(loaded.weight.nbytes)


@pytest.mark.parametrize("dtype", [None, *WeightType])
@pytest.mark.parametrize("config", [LLAMA, QWEN2, MISTRAL, MIXTRAL], ids=lambda config: config["model_type"])
def test_weights_take_what_was_predicted(config: dict[str, Any], dtype: WeightType | None) -> None:
    model = load_model(checkpoint(config), create_ops("native", exact=True), dtype)
    found = subject(config)
    assert weight_bytes(found.parts, found.stored, dtype) == sum(held(leaf) for _, leaf in model.leaves())


@pytest.mark.parametrize(
    ("dtype", "cache_type"), [(WeightType.F16, None), (WeightType.F32, None), (WeightType.F32, "q8")]
)
@pytest.mark.parametrize("entry", ONE_OF_EACH, ids=lambda entry: entry.name)
def test_caches_of_every_architecture_take_what_was_predicted(
    entry: Entry, dtype: WeightType, cache_type: CacheType | None
) -> None:
    found = subject_of(entry)
    cache = Cache.of(found, dtype, cache_type)
    if not isinstance(found.model, Decoder):
        assert (cache.bytes_per_token, cache.state_bytes) == (0, 0)
        return
    ops = create_ops("native", exact=dtype is WeightType.F32, cache_type=cache_type)
    kinds = [block.attention.cache() for block in found.model.blocks]

    def taken(blocks: int, states: int) -> int:
        layers = ops.create_cache(kinds, blocks, 16, states)
        arrays = [getattr(layer, field.name) for layer in layers for field in fields(layer)]
        return sum(array.nbytes for array in arrays if array is not None)

    assert taken(4, 0) == 4 * 16 * cache.bytes_per_token
    assert taken(0, 3) == 3 * cache.state_bytes
    assert (cache.state_bytes > 0) == any(isinstance(kind, DeltaCache) for kind in kinds)


def test_process_grows_by_what_was_predicted(tmp_path: Path) -> None:
    """A process of its own loads a model of 70 MB, fills its cache, and looks at its own memory."""
    (tmp_path / "config.json").write_text(json.dumps(LARGER))
    weights = {name: tensor.float32().astype(np.float16) for name, tensor in checkpoint(LARGER).contents.items()}
    save_file(weights, tmp_path / "model.safetensors")
    finished = subprocess.run(
        [sys.executable, str(MEASURE), str(tmp_path)], capture_output=True, text=True, check=True, timeout=300
    )
    grown = json.loads(finished.stdout)["grown"]
    larger = subject({**LARGER, "torch_dtype": "float32"})
    demand = Demand(context=LARGER["max_position_embeddings"], users=1)
    predicted = estimate(larger, WeightType.F16, demand, Resources(2**40, 1e9))
    kept = predicted.weight_bytes + predicted.cache_bytes
    assert kept > 60e6
    # The arrays of a step come and go; the allocator may keep their room or give it back.
    assert 0.95 * kept < grown < 1.05 * predicted.memory_bytes
