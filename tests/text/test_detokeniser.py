"""Streams add up to what decoding at the end gives, and never show half a character."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.errors import TokenizerError
from freehold.text import Tokenizer
from freehold.text.detokeniser import CONTROL_MARK
from tests.text.conftest import SMALL, real_tokenizer, small_tokenizer
from tests.text.strategies import texts

ids_of_small = st.lists(st.integers(min_value=0, max_value=320), max_size=30)


def stream(tokenizer: Tokenizer, ids: list[int], *, skip_special: bool, continues: bool) -> list[str]:
    detokeniser = tokenizer.detokeniser(skip_special, continues=continues)
    return [*[detokeniser.push(token_id) for token_id in ids], detokeniser.finish()]


@pytest.mark.parametrize("name", sorted(SMALL))
@settings(max_examples=150, deadline=None)
@given(ids=ids_of_small, skip_special=st.booleans(), continues=st.booleans())
def test_a_stream_adds_up_to_decode(name: str, ids: list[int], skip_special: bool, continues: bool) -> None:
    tokenizer = small_tokenizer(name)
    parts = stream(tokenizer, ids, skip_special=skip_special, continues=continues)
    assert "".join(parts) == tokenizer.decode(ids, skip_special=skip_special, continues=continues)


@pytest.mark.parametrize("name", sorted(SMALL))
@settings(max_examples=150, deadline=None)
@given(ids=ids_of_small)
def test_the_text_is_the_joined_bytes(name: str, ids: list[int]) -> None:
    tokenizer = small_tokenizer(name)
    joined = b"".join(tokenizer.token_bytes(token_id) for token_id in ids)
    assert tokenizer.decode(ids, skip_special=False, continues=True) == joined.decode("utf-8", "replace")


@settings(max_examples=200, deadline=None)
@given(text=texts)
@pytest.mark.parametrize("name", ["byte_level", "sentencepiece", "unigram"])
def test_no_character_is_split(name: str, text: str) -> None:
    tokenizer = small_tokenizer(name)
    ids = tokenizer.encode(text, add_special=False, parse_special=False)
    parts = stream(tokenizer, ids, skip_special=True, continues=False)
    assert "".join(parts) == text.replace("▁", " ") if name != "byte_level" else "".join(parts) == text
    assert "\ufffd" not in "".join(parts) or "\ufffd" in text


@pytest.mark.parametrize("name", ["llama-spm", "llama-bpe", "deepseek-llm"])
def test_real_vocabularies_stream_any_ids(name: str) -> None:
    tokenizer = real_tokenizer(name)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.integers(min_value=0, max_value=tokenizer.vocab_size + 10), max_size=20))
    def check(ids: list[int]) -> None:
        parts = stream(tokenizer, ids, skip_special=True, continues=False)
        assert "".join(parts) == tokenizer.decode(ids)

    check()


def test_bytes_are_held_back_until_the_character_is_whole() -> None:
    tokenizer = small_tokenizer("sentencepiece_no_prefix")
    llama = [3 + byte for byte in "🦙".encode()]
    stream = tokenizer.detokeniser()
    assert [stream.push(token_id) for token_id in llama] == ["", "", "", "🦙"]
    assert stream.finish() == ""


def test_invalid_bytes_become_replacement_characters() -> None:
    tokenizer = small_tokenizer("sentencepiece_no_prefix")
    first, second = "é".encode()
    assert tokenizer.decode([3 + 0xFF]) == "\ufffd"
    assert tokenizer.decode([3 + first]) == "\ufffd"  # cut short: one for what began as a character
    assert tokenizer.decode([3 + first, 3 + ord("a")]) == "\ufffda"
    stream = tokenizer.detokeniser()
    assert (stream.push(3 + first), stream.finish()) == ("", "\ufffd")
    assert tokenizer.decode([3 + first, 3 + second]) == "é"


def test_the_space_that_sentencepiece_adds_is_removed_once() -> None:
    tokenizer = small_tokenizer("sentencepiece")
    ids = tokenizer.encode("hello wor", add_special=False)
    assert tokenizer.token_bytes(ids[0]) == b" hello"
    assert tokenizer.decode(ids) == "hello wor"
    assert tokenizer.decode(ids, continues=True) == " hello wor"
    assert tokenizer.decode(tokenizer.encode(" hello", add_special=False)) == " hello"
    assert tokenizer.decode([1, *ids], skip_special=False) == "<s> hello wor"
    assert tokenizer.decode([1, *ids], skip_special=True) == "hello wor"


def test_a_word_piece_text_is_joined_by_spaces() -> None:
    tokenizer = small_tokenizer("wordpiece")
    ids = tokenizer.encode("Hello, world!")
    assert [tokenizer.token_text(token_id) for token_id in ids] == ["[CLS]", " hello", ",", " wor", "ld", "!", "[SEP]"]
    assert tokenizer.decode(ids) == "hello, world!"


def test_ids_without_a_piece_stand_for_nothing(any_small: Tokenizer) -> None:
    beyond = any_small.vocab_size + 7
    assert any_small.token_bytes(beyond) == b""
    assert any_small.decode([beyond, 4, beyond]) == any_small.decode([4])


def test_negative_ids_are_refused(any_small: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="not negative, got -1"):
        any_small.decode([-1])
    with pytest.raises(TokenizerError, match="-7"):
        any_small.token_bytes(-7)


def test_time_is_linear_in_the_tokens() -> None:
    tokenizer = small_tokenizer("byte_level")

    def seconds(count: int) -> float:
        ids = tokenizer.encode("hello w 日 🦙\n", add_special=False) * count
        best = float("inf")
        for _ in range(3):
            stream = tokenizer.detokeniser()
            started = time.process_time()
            for token_id in ids:
                stream.push(token_id)
            stream.finish()
            best = min(best, time.process_time() - started)
        return best

    assert seconds(8000) / seconds(2000) < 4 * 2.5


def test_control_tokens_are_shown_where_they_are_asked_for() -> None:
    tokenizer = small_tokenizer("byte_level")
    ids = [300, *tokenizer.encode("hello", add_special=False), 301]
    detokeniser = tokenizer.detokeniser(shown=[301])
    assert "".join(map(detokeniser.push, ids)) + detokeniser.finish() == f"hello{CONTROL_MARK}<|end|>"


def test_text_that_spells_a_control_token_has_no_mark() -> None:
    tokenizer = small_tokenizer("byte_level")
    ids = tokenizer.encode(f"<|end|>{chr(0xFFFD)}", add_special=False, parse_special=False)
    detokeniser = tokenizer.detokeniser(shown=[301])
    assert CONTROL_MARK not in "".join(map(detokeniser.push, ids)) + detokeniser.finish()


@pytest.mark.parametrize("name", sorted(SMALL))
@given(ids=ids_of_small, shown=st.sets(st.integers(0, 320), max_size=4))
def test_what_is_shown_changes_no_other_text(name: str, ids: list[int], shown: set[int]) -> None:
    """Half a character before a shown token is never completed by what comes after it."""
    tokenizer = small_tokenizer(name)
    shown &= set(tokenizer.special_tokens.values())
    detokeniser = tokenizer.detokeniser(continues=True, shown=shown)
    expected, part = "", list[int]()
    for token_id in ids:
        if token_id in shown:
            expected += tokenizer.decode(part, continues=True) + CONTROL_MARK + tokenizer.token_text(token_id)
            part = []
        else:
            part.append(token_id)
    expected += tokenizer.decode(part, continues=True)
    assert "".join(map(detokeniser.push, ids)) + detokeniser.finish() == expected
