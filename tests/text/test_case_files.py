"""llama.cpp's case files: texts and the ids that each model's own tokenizer gives them."""

from __future__ import annotations

import pytest

from freehold.text.pretokenizers import pre_tokenizer
from freehold.text.sources.byte_level import byte_level_tokenizer
from freehold.text.sources.files import read_json_object
from freehold.text.sources.merges import parse_merges
from freehold.text.tokenizer import Marks
from tests.support.assets import asset
from tests.text.conftest import real_tokenizer

SEPARATOR = "\n__ggml_vocab_test__\n"
# qwen35 has cases but no vocabulary here, baichuan a vocabulary but no cases.
VOCABULARIES = ["bert-bge", "deepseek-coder", "deepseek-llm", "gpt-2", "llama-bpe", "llama-spm", "qwen2"]


def cases(name: str) -> list[tuple[str, list[int]]]:
    """Texts and ids of a case file. The last case is the empty text."""
    folder = asset("tokenizers/ggml-vocab")
    texts = (folder / f"ggml-vocab-{name}.gguf.inp").read_bytes().decode().split(SEPARATOR)
    lines = (folder / f"ggml-vocab-{name}.gguf.out").read_text().split("\n")
    return [(text, [int(number) for number in line.split()]) for text, line in zip(texts, lines, strict=True)]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_all_47_cases_equal(name: str) -> None:
    tokenizer = real_tokenizer(name)
    expected = cases(name)
    assert len(expected) == 47
    equal = 0
    for text, ids in expected:
        assert tokenizer.encode(text, add_special=False, parse_special=False) == ids, text
        equal += 1
    assert equal == 47


@pytest.mark.parametrize("name", [name for name in VOCABULARIES if name != "bert-bge"])
def test_the_cases_decode_to_themselves(name: str) -> None:
    tokenizer = real_tokenizer(name)
    for text, ids in cases(name):
        composed = name == "qwen2" and "Việt" in text  # brought to NFC before it is encoded
        assert composed or tokenizer.decode(ids) == text


def test_llama3_from_the_other_files_it_was_converted_to() -> None:
    folder = asset("tokenizers/llama3")
    vocabulary = {str(piece): int(str(index)) for piece, index in read_json_object(folder / "encoder.json").items()}
    tokenizer = byte_level_tokenizer(
        vocabulary,
        parse_merges((folder / "vocab.bpe").read_text()),
        pre_tokenizer("llama-bpe"),
        special={},
        user_defined={},
        marks=Marks(),
    )
    for text, ids in cases("llama-bpe"):
        assert tokenizer.encode(text) == ids


def test_a_vocabulary_without_cases_loads() -> None:
    tokenizer = real_tokenizer("baichuan")
    assert tokenizer.vocab_size == 64_000
    assert tokenizer.decode(tokenizer.encode("Hello, 世界")) == "Hello, 世界"
