"""Two models may work together only where their token ids mean the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freehold.errors import InvalidRequest
from freehold.text import Tokenizer, load_text
from freehold.text.agreement import NamedTokenizer, require_same_tokens
from tests.support.tiny_folder import write_tiny_model


def _tokenizer(folder: Path, change: Callable[[dict[str, Any]], None] = lambda content: None) -> Tokenizer:
    """The tiny model's, changed in its file."""
    file = write_tiny_model(folder) / "tokenizer.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    text = load_text(folder)
    assert text is not None
    return text.tokenizer


def _require(ours: Tokenizer, theirs: Tokenizer) -> None:
    require_same_tokens(NamedTokenizer("large", ours), NamedTokenizer("small", theirs))


def test_the_same_vocabulary_is_taken(tmp_path: Path) -> None:
    _require(_tokenizer(tmp_path / "a"), _tokenizer(tmp_path / "b"))


def test_another_one_is_refused_with_both_facts(tmp_path: Path) -> None:
    def swap(content: dict[str, Any]) -> None:
        vocabulary = content["model"]["vocab"]
        vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]

    ours, theirs = _tokenizer(tmp_path / "a"), _tokenizer(tmp_path / "b", swap)
    with pytest.raises(InvalidRequest) as caught:
        _require(ours, theirs)
    first = min(ours.encode("a", add_special=False)[0], ours.encode("b", add_special=False)[0])
    of_ours, of_theirs = ours.token_text(first), theirs.token_text(first)
    assert caught.value.message.startswith("small, with 261 tokens, cannot draft for large, with 261: 2 of the ids")
    assert f"token {first} is '{of_ours}' in large and '{of_theirs}' in small; token " in caught.value.message
    assert caught.value.parameter == "draft_model"
    assert caught.value.hint


def test_a_token_that_only_one_has_is_a_difference(tmp_path: Path) -> None:
    def add(content: dict[str, Any]) -> None:
        content["added_tokens"].append(content["added_tokens"][-1] | {"id": 261, "content": "<tool>"})

    plain, more = _tokenizer(tmp_path / "a"), _tokenizer(tmp_path / "b", add)
    with pytest.raises(InvalidRequest, match=r"1 of the ids .* token 261 is nothing in large and '<tool>' in small"):
        _require(plain, more)
    with pytest.raises(InvalidRequest, match="token 261 is '<tool>' in large and nothing in small"):
        _require(more, plain)
