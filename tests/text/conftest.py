"""Tokenizers for the text tests: small ones that are always there, and real ones that need the assets."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from freehold.text import Tokenizer, load_text, text_from_gguf
from freehold.text.content import Normalisation
from freehold.text.loading import model_file_tokenizer
from freehold.text.pretokenizers import pre_tokenizer
from freehold.text.sources.byte_level import byte_level_tokenizer
from freehold.text.sources.sentencepiece import sentencepiece_tokenizer
from freehold.text.sources.settings import Settings
from freehold.text.sources.tiktoken import tiktoken_tokenizer
from freehold.text.sources.wordpiece import WordNormalisation, wordpiece_tokenizer
from freehold.text.tokenizer import Marks
from tests.support.assets import asset
from tests.support.vocabularies import BYTE_PIECES, gguf_metadata, small_pieces


def _byte_level() -> Tokenizer:
    pieces = {piece: index for index, piece in enumerate([*BYTE_PIECES, "he", "ll", "hell", "hello", "Ġw", "æĹ"])}
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "w"), ("æ", "Ĺ")]
    special = {"<|begin|>": 300, "<|end|>": 301}
    marks = Marks(bos_id=300, eos_ids=(301,), opening=(300,))
    return byte_level_tokenizer(
        pieces, merges, pre_tokenizer("llama3"), special=special, user_defined={"<tool>": 302, "  \n": 303}, marks=marks
    )


def _sentencepiece(*, unigram: bool, prefix: bool = True, everywhere: bool = True) -> Tokenizer:
    pieces = small_pieces("▁hello", "▁wor", "lo", "日本")
    return sentencepiece_tokenizer(
        pieces,
        unigram=unigram,
        normalisation=Normalisation(prefix=prefix, prefix_everywhere=everywhere),
        marks=Marks(bos_id=1, eos_ids=(2,), opening=(1,)),
    )


def _wordpiece() -> Tokenizer:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "wor", "##ld", ",", "!"]
    special = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    marks = Marks(bos_id=2, eos_ids=(3,), opening=(2,), closing=(3,))
    return wordpiece_tokenizer(pieces, special=special, unknown_id=1, normalisation=WordNormalisation(), marks=marks)


SMALL: dict[str, Callable[[], Tokenizer]] = {
    "byte_level": _byte_level,
    "sentencepiece": lambda: _sentencepiece(unigram=False),
    "sentencepiece_first": lambda: _sentencepiece(unigram=False, everywhere=False),
    "sentencepiece_no_prefix": lambda: _sentencepiece(unigram=False, prefix=False),
    "unigram": lambda: _sentencepiece(unigram=True),
    "wordpiece": _wordpiece,
}
SPELLS_ALL_TEXT = ["byte_level", "sentencepiece", "sentencepiece_first", "sentencepiece_no_prefix", "unigram"]


@lru_cache
def small_tokenizer(name: str) -> Tokenizer:
    """One of the small tokenizers."""
    return SMALL[name]()


def real_tokenizer(name: str) -> Tokenizer:
    """A released model's tokenizer by the name of its case file or vocabulary; skips without the assets."""
    folder = asset("tokenizers")
    return _real_tokenizer(name, folder)


@lru_cache
def _real_tokenizer(name: str, folder: Path) -> Tokenizer:
    vocabulary = folder / "ggml-vocab" / f"ggml-vocab-{name}.gguf"
    if vocabulary.exists():
        text = text_from_gguf(gguf_metadata(vocabulary))
    elif name == "qwen2":
        text = load_text(folder / "qwen2.5")
    elif name in ("llama-bpe", "llama4"):
        return model_file_tokenizer(folder / {"llama-bpe": "llama3"}.get(name, name) / "tokenizer.model", Settings())
    elif name in ("o200k_base", "cl100k_base", "p50k_base", "r50k_base"):
        return tiktoken_tokenizer(folder / "openai" / f"{name}.tiktoken", Settings())
    elif name == "o200k_harmony":
        return tiktoken_tokenizer(folder / "openai/o200k_base.tiktoken", Settings(), family=name)
    else:
        return model_file_tokenizer(folder / name, Settings())
    assert text is not None
    return text.tokenizer


@pytest.fixture(params=sorted(SMALL))
def any_small(request: pytest.FixtureRequest) -> Tokenizer:
    """Each of the small tokenizers in turn."""
    return small_tokenizer(request.param)


@pytest.fixture(params=SPELLS_ALL_TEXT)
def spells_all(request: pytest.FixtureRequest) -> Tokenizer:
    """Each of the small tokenizers that can spell every text."""
    return small_tokenizer(request.param)
