"""Every family against transformers, on tiny random models."""

from __future__ import annotations

import numpy as np
import pytest

from freehold.models import Decoder, load_model
from freehold.ops import create_ops
from freehold.ops.batch import Batch
from freehold.tensors import WeightType
from tests.support.tiny import CONFIGURATIONS, checkpoint_of, reference, reference_logits, relative_error

SEQUENCES = [list(range(1, 75)), [3, 1, 4, 1, 5, 9, 2, 6], [42]]
BLOCK = 16


def load(name: str, backend: str, dtype: WeightType | None = None) -> Decoder:
    return load_model(checkpoint_of(reference(CONFIGURATIONS[name])), create_ops(backend, exact=True), dtype)


def logits(model: Decoder) -> np.ndarray:
    caches = model.create_cache(len(SEQUENCES) + sum(map(len, SEQUENCES)) // BLOCK, BLOCK)
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
    caches = model.create_cache(-(-len(sequence) // BLOCK), BLOCK)
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
        )
        rows.append(model.ops.to_numpy(model.forward(batch, caches)))
    return np.concatenate(rows)


@pytest.mark.parametrize("dtype", [None, WeightType.F16, WeightType.Q8, WeightType.Q4])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_decoding_step_by_step_equals_the_full_forward_bitwise(name: str, dtype: WeightType | None) -> None:
    model = load(name, "native", dtype)
    whole = logits(model)
    for sequence, rows in zip(SEQUENCES, np.split(whole, np.cumsum([len(s) for s in SEQUENCES])[:-1]), strict=True):
        for chunk in (1, 7):
            assert np.array_equal(decode_stepwise(model, sequence, chunk), rows)


@pytest.mark.parametrize("name", ["llama-3.1-rope", "mistral-window", "qwen2"])
def test_decoding_step_by_step_on_torch_is_close_to_the_full_forward(name: str) -> None:
    model = load(name, "torch")
    whole = logits(model)[: len(SEQUENCES[0])]
    assert relative_error(decode_stepwise(model, SEQUENCES[0], 1), whole) < 1e-5


# The native products also round the activations to 8 bits, 127 levels to the largest of 32: a relative error of about
# 1 / (127 * sqrt(12)) * 2 = 0.5 % per product, for normal values. Weights at 8 bits add as much again; weights at 4
# bits have 16 levels, 16 times the error, about 8 %. Each of the 2 layers has four products in sequence, and errors
# add in squares: sqrt(9) * 0.7 % = 2 % and sqrt(9) * 8 % = 24 % of the typical logit.
BOUNDS = {WeightType.Q8: 0.03, WeightType.Q4: 0.3}


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", ["llama", "llama-biases", "mistral", "qwen2"])
def test_quantised_logits_stay_within_the_error_of_their_rounding(name: str, dtype: WeightType) -> None:
    expected = reference_logits(reference(CONFIGURATIONS[name]), SEQUENCES)
    found = logits(load(name, "native", dtype))
    error = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
    assert error < BOUNDS[dtype]
    coarser = {WeightType.Q8: 0.0005, WeightType.Q4: 0.01}[dtype]
    assert error > coarser, "the weights were not quantised"


@pytest.mark.parametrize("dtype", BOUNDS)
def test_torch_holds_the_same_quantised_values_as_native(dtype: WeightType) -> None:
    native, torch = logits(load("llama", "native", dtype)), logits(load("llama", "torch", dtype))
    # What remains between them is the rounding of the activations, which torch does not do.
    assert np.sqrt(np.mean((native - torch) ** 2) / np.mean(torch**2)) < 0.03
