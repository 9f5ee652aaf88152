"""Every family against transformers, on tiny random models."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from freehold.models import Decoder, load_model
from freehold.ops import create_ops
from freehold.ops.base import CacheType
from freehold.ops.batch import Batch
from freehold.ops.native.graphs import GraphedForward
from freehold.tensors import WeightType
from tests.support.tiny import CONFIGURATIONS, checkpoint_of, reference, reference_logits, relative_error

SEQUENCES = [list(range(1, 75)), [3, 1, 4, 1, 5, 9, 2, 6], [42]]
BLOCK = 16


def load(name: str, backend: str, dtype: WeightType | None = None, cache_type: CacheType | None = None) -> Decoder:
    ops = create_ops(backend, exact=True, cache_type=cache_type)
    return load_model(checkpoint_of(reference(CONFIGURATIONS[name])), ops, dtype)


def logits(model: Decoder) -> np.ndarray:
    caches = model.create_cache(len(SEQUENCES) + sum(map(len, SEQUENCES)) // BLOCK, BLOCK, len(SEQUENCES))
    return model.ops.to_numpy(model.forward(Batch.whole(SEQUENCES, BLOCK), caches))


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_logits_equal_those_of_transformers(name: str, backend: str) -> None:
    expected = reference_logits(reference(CONFIGURATIONS[name]), SEQUENCES)
    assert relative_error(logits(load(name, backend)), expected) < 1e-4


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("name", ["llama", "mistral-window", "qwen2"])
def test_attention_without_a_cache_gives_the_same(name: str, backend: str) -> None:
    model = load(name, backend)
    without = model.ops.to_numpy(model.forward(Batch.whole(SEQUENCES), None))
    assert relative_error(without, logits(model)) < 1e-5


def decode_stepwise(model: Decoder, sequence: list[int], chunk: int) -> np.ndarray:
    """Logits of every position, computed `chunk` tokens at a time through the cache."""
    caches = model.create_cache(-(-len(sequence) // BLOCK), BLOCK, 1)
    forward = model.ops.graphed(lambda batch: model.forward(batch, caches))
    table = np.arange(-(-len(sequence) // BLOCK), dtype=np.int32)
    rows = []
    for first in range(0, len(sequence), chunk):
        part = np.asarray(sequence[first : first + chunk], np.int32)
        batch = Batch(
            token_ids=part,
            positions=np.arange(first, first + len(part), dtype=np.int32),
            offsets=np.array([0, len(part)], np.int32),
            block_tables=table,
            block_offsets=np.array([0, len(table)], np.int32),
            logit_rows=np.arange(len(part), dtype=np.int32),
            state_reads=np.array([0 if first else -1], np.int32),
            state_writes=np.zeros(1, np.int32),
        )
        rows.append(model.ops.to_numpy(forward(batch)).copy())
    return np.concatenate(rows)


@pytest.mark.parametrize(
    ("dtype", "cache_type"),
    [(None, None), (WeightType.F16, None), (WeightType.Q8, None), (WeightType.Q4, None), (None, "q8")],
)
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_decoding_step_by_step_equals_the_full_forward_bitwise(
    name: str, dtype: WeightType | None, cache_type: CacheType | None
) -> None:
    model = load(name, "native", dtype, cache_type)
    whole = logits(model)
    for sequence, rows in zip(SEQUENCES, np.split(whole, np.cumsum([len(s) for s in SEQUENCES])[:-1]), strict=True):
        for chunk in (1, 7):
            assert np.array_equal(decode_stepwise(model, sequence, chunk), rows)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_step_becomes_a_graph_unless_the_model_looks_at_positions(name: str) -> None:
    model = load(name, "native")
    caches = model.create_cache(len(SEQUENCES) + sum(map(len, SEQUENCES)) // BLOCK, BLOCK, len(SEQUENCES))
    forward = GraphedForward(lambda batch: model.forward(batch, caches))
    forward(Batch.whole([[1, 2, 3], [4]], BLOCK))
    looks = getattr(model.config, "temperature", None) is not None
    assert forward.graphs == (0 if looks else 1)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_cache_of_codes_is_the_same_on_both_backends(name: str) -> None:
    exact = logits(load(name, "native"))
    native, torch = (logits(load(name, backend, cache_type="q8")) for backend in ("native", "torch"))
    # Features that differ in the last bit may round to neighbouring codes, and wide random weights make much of that.
    assert relative_error(native, torch) < 1e-2
    assert relative_error(native, exact) > 1e-3


@pytest.mark.parametrize("name", ["llama-3.1-rope", "mistral-window", "qwen2"])
def test_decoding_step_by_step_on_torch_is_close_to_the_full_forward(name: str) -> None:
    model = load(name, "torch")
    whole = logits(model)[: len(SEQUENCES[0])]
    assert relative_error(decode_stepwise(model, SEQUENCES[0], 1), whole) < 1e-5


# Rounding to a grid of step s is off by s / sqrt(12) in the mean square. The largest of 32 normal values is about 2.4
# deviations, so 8 bits (127 steps up to the largest) are off by 2.4 / 127 / sqrt(12) = 0.55 % of a deviation, and
# 4 bits (8 steps) by 8.7 %. Activations are rounded to 8 bits too, which hits a product like an error in its weights.
EIGHT_BITS, FOUR_BITS = 0.0055, 0.087
ROUNDING = {WeightType.Q8: math.hypot(EIGHT_BITS, EIGHT_BITS), WeightType.Q4: math.hypot(FOUR_BITS, EIGHT_BITS)}


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)))


def error_of_equal_noise(name: str, dtype: WeightType) -> float:
    """How far the reference's logits move when its matrices get random errors of the size of the rounding."""
    model = reference(CONFIGURATIONS[name])
    expected = reference_logits(model, SEQUENCES)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter_name, weight in model.named_parameters():
            if weight.ndim == 2:
                whole_vocabulary = "embed" in parameter_name or "head" in parameter_name
                size = ROUNDING[WeightType.Q8 if whole_vocabulary else dtype]
                weight.add_(torch.randn(weight.shape, generator=generator) * weight.std() * size)
    return error(reference_logits(model, SEQUENCES), expected)


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("name", ["llama", "llama-biases", "mistral", "qwen2"])
def test_quantised_logits_are_off_by_no_more_than_the_rounding_explains(name: str, dtype: WeightType) -> None:
    expected = reference_logits(reference(CONFIGURATIONS[name]), SEQUENCES)
    found = error(logits(load(name, "native", dtype)), expected)
    explained = error_of_equal_noise(name, dtype)
    # One random draw stands for another within a factor of two; far below it, nothing was quantised.
    assert explained / 4 < found < 2 * explained


@pytest.mark.parametrize("dtype", ROUNDING)
def test_torch_holds_the_same_quantised_values_as_native(dtype: WeightType) -> None:
    native, floats = logits(load("llama", "native", dtype)), logits(load("llama", "torch", dtype))
    # What remains between them is the rounding of the activations to 8 bits, which torch does not do.
    assert error(native, floats) < 2 * error_of_equal_noise("llama", WeightType.Q8)
