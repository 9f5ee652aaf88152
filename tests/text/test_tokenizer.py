"""What every tokenizer promises, wherever it came from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.errors import InvalidRequest
from freehold.text import Tokenizer
from tests.text.conftest import SPELLS_ALL_TEXT, real_tokenizer, small_tokenizer
from tests.text.strategies import texts

NAMES = ["<|begin|>", "<|end|>", "<s>", "</s>", "<unk>", "[CLS]", "[SEP]", "[UNK]", "<tool>", "hello", " "]


@pytest.mark.parametrize("name", SPELLS_ALL_TEXT)
@settings(max_examples=150, deadline=None)
@given(text=texts)
def test_encoding_then_decoding_gives_the_text(name: str, text: str) -> None:
    tokenizer = small_tokenizer(name)
    expected = text if name == "byte_level" else text.replace("▁", " ")  # which SentencePiece cannot tell from a space
    assert tokenizer.decode(tokenizer.encode(text, parse_special=False)) == expected


@pytest.mark.parametrize("name", ["byte_level", "sentencepiece", "unigram", "wordpiece"])
@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.sampled_from(NAMES) | st.text(alphabet="<|s>/[]", max_size=4), max_size=6))
def test_plain_text_never_becomes_a_control_token(name: str, parts: list[str]) -> None:
    tokenizer = small_tokenizer(name)
    ids = tokenizer.encode("".join(parts), add_special=False, parse_special=False)
    unknown = {"<unk>", "[UNK]"}
    control = {token_id for token, token_id in tokenizer.special_tokens.items() if token not in unknown}
    assert control.isdisjoint(ids)


def test_control_tokens_are_parsed_when_asked() -> None:
    tokenizer = small_tokenizer("byte_level")
    assert tokenizer.encode("<|begin|>hello<|end|>", add_special=False) == [300, 259, 301]
    assert tokenizer.encode("<|end|><|end|>", add_special=False) == [301, 301]
    plain = tokenizer.encode("<|end|>", add_special=False, parse_special=False)
    assert 301 not in plain
    assert tokenizer.decode(plain) == "<|end|>"


def test_user_defined_tokens_are_matched_whole_either_way() -> None:
    tokenizer = small_tokenizer("byte_level")
    for parse_special in (True, False):
        assert 302 in tokenizer.encode("a<tool>b", parse_special=parse_special)
        assert 303 in tokenizer.encode("a  \nb", parse_special=parse_special)
    assert tokenizer.decode([302, 303]) == "<tool>  \n"
    assert "<tool>" not in tokenizer.special_tokens


def test_the_marks_are_added_around_the_text_unless_not_wanted() -> None:
    tokenizer = small_tokenizer("wordpiece")
    assert tokenizer.encode("hello") == [2, 4, 3]
    assert tokenizer.encode("hello", add_special=False) == [4]
    assert tokenizer.encode("") == [2, 3]
    assert tokenizer.encode("", add_special=False) == []
    assert (tokenizer.bos_id, tokenizer.eos_ids) == (2, (3,))


def test_sentencepiece_puts_its_space_before_each_stretch_or_only_the_first() -> None:
    each, first = small_tokenizer("sentencepiece"), small_tokenizer("sentencepiece_first")
    hello = each.encode("hello", add_special=False)
    assert [each.token_bytes(token_id) for token_id in hello] == [b" hello"]
    assert each.encode("<s>hello</s>hello", add_special=False) == [1, *hello, 2, *hello]
    assert first.encode("hello<s>", add_special=False) == [*hello, 1]
    assert first.decode(first.encode("<s>hello", add_special=False), continues=True) == "hello"
    assert first.encode("<s>hello", add_special=False) != [1, *hello]


def test_half_a_surrogate_pair_is_refused_and_placed(any_small: Tokenizer) -> None:
    with pytest.raises(InvalidRequest, match="character 2 of the text is half of a surrogate pair"):
        any_small.encode("ab\ud800c")


def test_control_tokens_are_left_out_of_text_unless_asked_for() -> None:
    tokenizer = small_tokenizer("sentencepiece")
    ids = tokenizer.encode("<s>hello</s>", add_special=False)
    assert tokenizer.decode(ids) == "hello"
    assert tokenizer.decode(ids, skip_special=False) == "<s> hello</s>"


def test_special_tokens_cannot_be_changed_from_outside(any_small: Tokenizer) -> None:
    with pytest.raises(TypeError):
        any_small.special_tokens["<new>"] = 5  # type: ignore[index]


def test_threads_share_a_tokenizer() -> None:
    tokenizer = small_tokenizer("byte_level")
    lines = [f"hello {number} <|end|> 日本 🦙" for number in range(200)]
    expected = [tokenizer.encode(line) for line in lines]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tokenizer.encode, lines)) == expected
        assert list(pool.map(tokenizer.decode, expected)) == [line.replace("<|end|>", "") for line in lines]


def test_a_long_word_and_a_long_run_of_spaces_encode() -> None:
    for tokenizer in (small_tokenizer("byte_level"), small_tokenizer("sentencepiece")):
        for text in ("hello" * 20_000, " " * 100_000, "<|end|>" * 20_000, "日" * 50_000):
            ids = tokenizer.encode(text, parse_special=False)
            assert tokenizer.decode(ids) == text


def test_llama3_wraps_texts_as_released() -> None:
    tokenizer = real_tokenizer("llama-bpe")
    assert tokenizer.vocab_size == 128_256
    assert tokenizer.bos_id == 128_000
    assert set(tokenizer.eos_ids) == {128_001, 128_008, 128_009}
    assert tokenizer.encode("<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>") == [
        128_000, 128_006, 882, 128_007, 271, 13347, 128_009,
    ]  # fmt: skip


def test_llama4_has_its_published_size_and_turns() -> None:
    tokenizer = real_tokenizer("llama4")
    assert tokenizer.special_tokens["<|header_start|>"] == 200_005
    assert tokenizer.special_tokens["<|eot|>"] == 200_008
    assert tokenizer.special_tokens["<|python_start|>"] == 200_016
    assert tokenizer.special_tokens["<|image_start|>"] == 200_080
    assert tokenizer.special_tokens["<|patch|>"] == 200_092
    assert tokenizer.vocab_size == 201_134
