"""BERT's first form of a vocabulary, against transformers' own reading of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertTokenizer

from freehold.errors import TokenizerError
from freehold.text import Tokenizer, load_text

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyzABCÇãçéü0123456789.,!?中文"]
WORDS += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyzçãéü0123456789"] + [
    "não",
    "nao",
    "##ção",
    "the",
    "ing",
]
TEXTS = [
    "",
    "não é a ação",
    "The THE the",
    "ab12, cd!?",
    "中文 and 中 文",
    "naïve Ünïcode",
    "x" * 200,
    "a\tb\nc  d",
    "[MASK] ok",
]


def write(folder: Path, config: dict[str, object]) -> Tokenizer:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    text = load_text(folder)
    assert text is not None
    return text.tokenizer


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"do_lower_case": False},
        {"do_lower_case": False, "strip_accents": True},
        {"do_lower_case": True, "strip_accents": False},
        {"tokenize_chinese_chars": False, "do_lower_case": False},
    ],
)
def test_ids_are_those_of_transformers(tmp_path: Path, config: dict[str, Any]) -> None:
    tokenizer = write(tmp_path / "model", config)
    theirs: Any = BertTokenizer.from_pretrained(tmp_path / "model")
    for text in TEXTS:
        assert tokenizer.encode(text) == theirs(text)["input_ids"], text


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Any]:
    folder = tmp_path_factory.mktemp("cased") / "model"
    tokenizer = write(folder, {"do_lower_case": False})
    return tokenizer, BertTokenizer.from_pretrained(folder)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=st.text(st.sampled_from("abz ABÇãçéü019.,!? 中\t\u0301"), max_size=30))
def test_any_text_gives_the_ids_of_transformers(pair: tuple[Tokenizer, Any], text: str) -> None:
    tokenizer, theirs = pair
    assert tokenizer.encode(text) == theirs(text)["input_ids"]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"a\nb\n", r"no \[UNK\] and no \[CLS\] and no \[SEP\]"),
        (b"[UNK]\n[CLS]\n[SEP]\na\na\n", "5 pieces, 4 of them different"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_damaged_vocabulary_is_refused(tmp_path: Path, contents: bytes, message: str) -> None:
    (tmp_path / "vocab.txt").write_bytes(contents)
    with pytest.raises(TokenizerError, match=message):
        load_text(tmp_path)
