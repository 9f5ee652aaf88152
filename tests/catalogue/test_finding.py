"""Finding models by short name, repository and words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.catalogue import entry_of, families, find, search


@pytest.mark.parametrize(
    ("text", "name", "reference"),
    [
        ("llama3.3", "llama3.3:70b", "meta-llama/Llama-3.3-70B-Instruct"),
        ("llama3.3:70b", "llama3.3:70b", "meta-llama/Llama-3.3-70B-Instruct"),
        ("Llama3.3:70B", "llama3.3:70b", "meta-llama/Llama-3.3-70B-Instruct"),
        ("llama3.3:latest", "llama3.3:70b", "meta-llama/Llama-3.3-70B-Instruct"),
        ("qwen2.5", "qwen2.5:7b", "Qwen/Qwen2.5-7B-Instruct"),
        ("qwen2.5:7b-base", "qwen2.5:7b-base", "Qwen/Qwen2.5-7B"),
        ("QWEN2.5:7b-Q4_K_M", "qwen2.5:7b-q4_k_m", "Qwen/Qwen2.5-7B-Instruct-GGUF:q4_k_m"),
        ("qwen2.5:7b-gptq-int4", "qwen2.5:7b-gptq-int4", "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4"),
        ("qwen3:32b-fp8", "qwen3:32b-fp8", "Qwen/Qwen3-32B-FP8"),
        ("gpt-oss", "gpt-oss:20b", "openai/gpt-oss-20b"),
        ("mistral:7b-v0.2", "mistral:7b-v0.2", "mistralai/Mistral-7B-Instruct-v0.2"),
    ],
)
def test_short_names(text: str, name: str, reference: str) -> None:
    target = find(text)
    assert target is not None
    assert (target.name, target.reference) == (name, reference)


@pytest.mark.parametrize(
    "text",
    ["", ":", "llama3.3:", "llama9", "qwen2.5:8b", "qwen2.5:7b-q9", "qwen2.5:7b:7b", "../llama2", "x" * 5000, "a\0b"],
)
def test_what_is_no_short_name(text: str) -> None:
    assert find(text) is None


@given(st.text(max_size=30) | st.from_regex(r"[a-z0-9./:~-]{1,20}", fullmatch=True))
def test_whatever_is_found_is_spelled_as_it_was_asked(text: str) -> None:
    target = find(text)
    assert target is None or target.name.startswith(text.casefold().removesuffix(":latest"))


def test_repositories_lead_back_to_their_model() -> None:
    for hub in ("Qwen/Qwen2.5-7B-Instruct", "qwen/qwen2.5-7b-instruct-gguf", "Qwen/Qwen2.5-7B"):
        entry = entry_of(hub)
        assert entry is not None
        assert entry.name == "qwen2.5:7b"
    assert entry_of("org/tiny") is None


def test_words_narrow_each_other_down() -> None:
    everything = search([])
    assert len(everything) == sum(len(family.entries) for family in families())
    assert {entry.family for entry in search(["Mistral"])} >= {"mistral", "mistral-nemo", "mixtral"}
    assert {entry.licence for entry in search(["qwen2.5", "research"])} == {"LicenseRef-Qwen-Research"}
    assert [entry.name for entry in search(["portuguese", "bertimbau"])] == ["bertimbau:base", "bertimbau:large"]
    assert search(["pt", "bertimbau"]) == search(["PORTUGUESE", "bertimbau"])
    assert search(["no-such-word"]) == []
