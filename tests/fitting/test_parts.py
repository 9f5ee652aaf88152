"""Counting parameters: all of them, and those that a token is computed with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.catalogue import Entry, families, find
from freehold.fitting import Subject, active_parameters, is_described, parameters, subject_of
from freehold.models.registry import FAMILIES
from tests.fitting.models import LLAMA, MIXTRAL, QWEN2, SMALL, subject

DESCRIBED = [
    entry for family in families() for entry in family.entries if is_described(entry) and entry.architecture in FAMILIES
]
HIDDEN, WIDTH, LAYERS, VOCABULARY = (
    SMALL[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
)
ATTENTION = HIDDEN * HIDDEN * 2 + 2 * HIDDEN * 24  # queries and output; keys and values of two heads of twelve
MLP = 3 * HIDDEN * WIDTH
NORMS = 2 * HIDDEN


@pytest.mark.parametrize("entry", DESCRIBED, ids=lambda entry: entry.name)
def test_catalogue_and_models_agree(entry: Entry) -> None:
    """The catalogue's numbers were counted by transformers from the same configurations."""
    found = subject_of(entry)
    assert entry.parameters is not None
    own = parameters(found.parts)
    assert own + _left_unread(entry, found) == entry.parameters
    active = active_parameters(found.parts, counts_embedding=found.counts_embedding)
    assert active == (own if entry.active is None else entry.active)
    assert found.model.config.context_length == entry.context
    assert found.licence == entry.licence


def _left_unread(entry: Entry, found: Subject) -> int:
    """Weights of encoders that only their training needed: the pooler, or the head that guesses hidden words."""
    hidden, vocabulary = found.model.config.hidden, found.model.config.vocabulary
    dense = hidden * (hidden + 1)
    return {"BertModel": dense, "XLMRobertaModel": dense, "BertForMaskedLM": dense + 2 * hidden + vocabulary}.get(
        entry.architecture, 0
    )


def test_dense_model() -> None:
    parts = subject(LLAMA).parts
    expected = LAYERS * (ATTENTION + MLP + NORMS) + HIDDEN + 2 * VOCABULARY * HIDDEN
    assert parameters(parts) == active_parameters(parts) == expected
    assert active_parameters(parts, counts_embedding=False) == expected - VOCABULARY * HIDDEN


def test_embedding_that_is_the_head_always_counts() -> None:
    parts = subject(QWEN2).parts
    biases = HIDDEN + 2 * 24
    expected = LAYERS * (ATTENTION + biases + MLP + NORMS) + HIDDEN + VOCABULARY * HIDDEN
    assert parameters(parts) == active_parameters(parts) == expected
    assert active_parameters(parts, counts_embedding=False) == expected
    assert not any(part.looked_up for part in parts)


def test_token_is_computed_with_its_chosen_experts() -> None:
    parts = subject(MIXTRAL).parts
    shared = LAYERS * (ATTENTION + NORMS + 8 * HIDDEN) + HIDDEN + 2 * VOCABULARY * HIDDEN
    assert parameters(parts) == shared + LAYERS * 8 * MLP
    assert active_parameters(parts) == shared + LAYERS * 2 * MLP


@given(st.integers(1, 10_000))
def test_more_tokens_read_more_experts_but_never_more_than_there_are(tokens: int) -> None:
    part = next(part for part in subject(MIXTRAL).parts if part.chosen is not None)
    assert part.expected(1) == pytest.approx(2)
    assert min(2.0, 8.0) - 1e-9 <= part.expected(tokens) <= 8
    assert part.expected(tokens) <= part.expected(tokens + 1)


def test_openai_counts_without_the_embedding() -> None:
    target = find("gpt-oss:20b")
    assert target is not None
    found = subject_of(target.entry)
    assert not found.counts_embedding
    assert active_parameters(found.parts, counts_embedding=False) / 1e9 == pytest.approx(3.61, abs=0.005)
