"""Against the libraries that these vocabularies were made with: sentencepiece and tiktoken."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tiktoken
from hypothesis import given, settings
from tiktoken_ext import openai_public  # type: ignore[import-untyped]

from freehold.text.sources.tiktoken import parse_ranks
from tests.support.assets import ASSETS, asset
from tests.text.conftest import real_tokenizer
from tests.text.strategies import texts
from tests.text.test_case_files import cases

SENTENCEPIECE = [
    "llama2/tokenizer.model",
    "mistral/tokenizer.model.v1",
    "mistral/mistral_instruct_tokenizer_240216.model.v2",
    "mistral/mistral_instruct_tokenizer_240323.model.v3",
    "mistral/mistral_instruct_tokenizer_241114.model.v7",
    "../weights/babyllama-tok105/tok105.model",
]
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TIKTOKEN = {  # our name -> (file, the pattern as tiktoken ships it)
    "llama-bpe": ("llama3/tokenizer.model", LLAMA3_PATTERN),
    "llama4": ("llama4/tokenizer.model", "o200k_base"),
    "o200k_base": ("openai/o200k_base.tiktoken", "o200k_base"),
    "cl100k_base": ("openai/cl100k_base.tiktoken", "cl100k_base"),
    "p50k_base": ("openai/p50k_base.tiktoken", "p50k_base"),
    "r50k_base": ("openai/r50k_base.tiktoken", "r50k_base"),
}


@lru_cache
def reference_sentencepiece(path: Path) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


@lru_cache
def reference_tiktoken(name: str) -> tiktoken.Encoding:
    file, pattern = TIKTOKEN[name]
    ranks = parse_ranks((ASSETS / "tokenizers" / file).read_bytes())
    if pattern in tiktoken.list_encoding_names():
        pattern = str(shipped(pattern)["pat_str"])
    return tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def shipped(name: str) -> dict[str, Any]:
    """tiktoken's own definition of an encoding, without the ranks that it would fetch from the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: {})
        return dict(openai_public.ENCODING_CONSTRUCTORS[name]())


@pytest.mark.parametrize("name", SENTENCEPIECE)
def test_equals_sentencepiece_on_the_case_texts(name: str) -> None:
    ours, theirs = real_tokenizer(name), reference_sentencepiece(asset(f"tokenizers/{name}"))
    for text, _ in cases("llama-spm"):
        ids = theirs.encode(text)
        assert ours.encode(text, add_special=False, parse_special=False) == ids
        if theirs.unk_id() not in ids:  # which sentencepiece prints as a sign of its own
            assert ours.decode(ids) == theirs.decode(ids)


@pytest.mark.parametrize("name", SENTENCEPIECE)
def test_equals_sentencepiece_on_any_text(name: str) -> None:
    ours, theirs = real_tokenizer(name), reference_sentencepiece(asset(f"tokenizers/{name}"))

    @settings(max_examples=150, deadline=None)
    @given(texts)
    def check(text: str) -> None:
        ids = theirs.encode(text)
        assert ours.encode(text, add_special=False, parse_special=False) == ids
        if theirs.unk_id() not in ids:
            assert ours.decode(ids) == theirs.decode(ids)

    check()


@pytest.mark.parametrize("name", TIKTOKEN)
def test_equals_tiktoken_on_the_case_texts(name: str) -> None:
    ours = real_tokenizer(name)
    theirs = reference_tiktoken(name)
    for text, _ in cases("llama-bpe"):
        assert ours.encode(text, add_special=False, parse_special=False) == theirs.encode(text, disallowed_special=())


@pytest.mark.parametrize("name", TIKTOKEN)
def test_equals_tiktoken_on_any_text(name: str) -> None:
    ours = real_tokenizer(name)
    theirs = reference_tiktoken(name)

    @settings(max_examples=150, deadline=None)
    @given(texts)
    def check(text: str) -> None:
        ids = ours.encode(text, add_special=False, parse_special=False)
        assert ids == theirs.encode(text, disallowed_special=())
        assert ours.decode(ids) == text
        assert b"".join(map(ours.token_bytes, ids)) == text.encode()

    check()


@pytest.mark.parametrize("name", ["r50k_base", "p50k_base", "cl100k_base", "o200k_base", "o200k_harmony"])
def test_control_tokens_of_openai_have_their_published_ids(name: str) -> None:
    published = shipped(name)["special_tokens"]
    published.pop("<|reserved_200018|>", None)  # the same id as <|endofprompt|>; one name is enough
    assert dict(real_tokenizer(name).special_tokens) == published
