"""Damaged and hostile tokenizer files: a typed error each, quickly, and never a crash."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.errors import FreeholdError, TokenizerError
from freehold.text import load_text, text_from_gguf
from freehold.text.content import Kind, Piece
from freehold.text.sources.sentencepiece_file import parse_sentencepiece
from freehold.text.sources.tiktoken import parse_ranks
from tests.support.vocabularies import sentencepiece_model, small_pieces
from tests.text.test_loading import MERGES, RANKS, VOCAB, gguf_like_gpt2, rank_file, spm_metadata, write
from tests.text.test_tokenizer_json import byte_level

HUGE = [-1, 0, 2**31, 2**32 - 1, 2**63, 2**64 - 1]


def outcome(load: Callable[[], object]) -> None:
    """Runs a load that may succeed or be refused; anything else fails the test."""
    with suppress(FreeholdError):
        load()


def few_pieces() -> list[Piece]:
    return [piece for piece in small_pieces("▁hi") if piece.kind is not Kind.BYTE]


def test_sentencepiece_truncated_at_every_byte() -> None:
    model = sentencepiece_model(few_pieces())
    whole = parse_sentencepiece(model)
    refused = 0
    for length in range(len(model)):
        try:
            shorter = parse_sentencepiece(model[:length])
        except TokenizerError:
            refused += 1
        else:  # cut between two fields: a shorter but well-formed file
            assert len(shorter.pieces) <= len(whole.pieces)
    assert refused > 0.7 * len(model)


def test_sentencepiece_with_any_byte_changed(tmp_path: Path) -> None:
    model = sentencepiece_model(few_pieces())
    draw = random.Random(11)
    for _ in range(400):
        data = bytearray(model)
        for _ in range(draw.randrange(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        write(tmp_path, {"tokenizer.model": bytes(data)})
        outcome(lambda: load_text(tmp_path))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_sentencepiece_of_any_bytes(data: bytes) -> None:
    outcome(lambda: parse_sentencepiece(data))


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([Piece("<0x-1>", 0, Kind.BYTE)], "byte piece 0 is '<0x-1>'"),
        ([Piece("<0xGG>", 0, Kind.BYTE)], "byte piece 0"),
        ([Piece("<0x1FF>", 0, Kind.BYTE)], "byte piece 0"),
        ([Piece("<0x0A>", 0, Kind.BYTE), Piece("<0x0A>", 0, Kind.BYTE)], "pieces 0 and 1 are both '<0x0A>'"),
        ([Piece("<0x0a>", 0, Kind.BYTE)], "byte piece 0"),
        ([Piece("", 0, Kind.NORMAL), Piece("<unk>", 0, Kind.UNKNOWN)], "piece 0 is empty"),
        ([Piece("a", float("nan"), Kind.NORMAL), Piece("<unk>", 0, Kind.UNKNOWN)], "score nan"),
        ([Piece("a", 0, Kind.NORMAL)], "neither byte pieces nor an unknown piece"),
        ([Piece("a" * 5000, 0, Kind.NORMAL)], "5000 bytes"),
        ([], "no pieces"),
    ],
)
def test_sentencepiece_pieces_that_make_no_sense(pieces: list[Piece], message: str, tmp_path: Path) -> None:
    write(tmp_path, {"tokenizer.model": sentencepiece_model(pieces)})
    with pytest.raises(TokenizerError, match=message):
        load_text(tmp_path)


def test_sentencepiece_lengths_are_not_believed() -> None:
    for length in (b"\xff\xff\xff\xff\x07", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff" * 12):
        with pytest.raises(TokenizerError):
            parse_sentencepiece(b"\x0a" + length + b"abc")
    assert parse_sentencepiece(sentencepiece_model(few_pieces(), bos_id=-1, eos_id=2**40)).eos_id is None


def test_a_hostile_character_map_is_an_error_and_no_crash(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = sentencepiece_model(few_pieces())
    table = b"\x04\x00\x00\x00\x01\x00\x00\x00abc"  # points outside of itself
    normaliser = b"\x12" + bytes([len(table)]) + table
    write(tmp_path, {"tokenizer.model": model + b"\x1a" + bytes([len(normaliser)]) + normaliser})
    text = load_text(tmp_path)
    assert text is not None
    with pytest.raises(TokenizerError):
        text.tokenizer.encode("hi there")
    capfd.readouterr()  # the library writes its panic to stderr


@pytest.mark.parametrize(
    "data",
    [
        b"!! 0\n", b"AA== x\n", b"AA==\n", b"AA== -1\n", b"AA== 99999999999\n", b"AA== 0\nAA== 1\n", b" 0\n",
        b"AA= 0\n", base64.b64encode(b"a" * 5000) + b" 0\n", b"\xff\xfe 0\n",
    ],
)  # fmt: skip
def test_rank_files_with_a_bad_line(data: bytes) -> None:
    with pytest.raises(TokenizerError, match=r"line [12] of the rank file"):
        parse_ranks(data)


def test_rank_files_that_cannot_spell_all_text(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="2 bytes of UTF-8 have no piece, byte 0x00"):
        load_text(write(tmp_path, {"r50k_base.tiktoken": rank_file(RANKS[2:])}))
    twice = rank_file() + base64.b64encode(b"new") + b" 7\n"
    with pytest.raises(TokenizerError, match="id 7 stands for both"):
        load_text(write(tmp_path, {"r50k_base.tiktoken": twice}))


def test_vocabularies_of_long_pieces_are_refused_before_they_are_split(tmp_path: Path) -> None:
    long = [b"%04d" % number + b"a" * 4000 for number in range(30)]
    with pytest.raises(TokenizerError, match="more long pieces than any model"):
        load_text(write(tmp_path, {"r50k_base.tiktoken": rank_file([*RANKS, *long])}))
    (tmp_path / "r50k_base.tiktoken").unlink()
    pieces = [*few_pieces(), *(Piece(token.decode(), 0, Kind.NORMAL) for token in long)]
    with pytest.raises(TokenizerError, match="more long pieces than any model"):
        load_text(write(tmp_path, {"tokenizer.model": sentencepiece_model(pieces)}))


@pytest.mark.parametrize(
    "files",
    [
        {"vocab.json": "[]", "merges.txt": MERGES},
        {"vocab.json": "{", "merges.txt": MERGES},
        {"vocab.json": b"\xff\xfe", "merges.txt": MERGES},
        {"vocab.json": "[" * 100_000, "merges.txt": MERGES},
        {"vocab.json": {"a": "b"}, "merges.txt": MERGES},
        {"vocab.json": {"a": True}, "merges.txt": MERGES},
        {"vocab.json": {"a": 1}, "merges.txt": MERGES},
        {"vocab.json": VOCAB, "merges.txt": "h\n"},
        {"vocab.json": VOCAB, "merges.txt": "h e l\n"},
        {"vocab.json": VOCAB, "merges.txt": "h zz\n"},
        {"vocab.json": VOCAB, "merges.txt": b"\xff"},
        {"vocab.json": {**VOCAB, "x": 5}, "merges.txt": MERGES},
        *({"vocab.json": {**VOCAB, "x": number}, "merges.txt": MERGES} for number in HUGE),
    ],
)
def test_vocab_and_merges_that_make_no_sense(files: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(TokenizerError):
        load_text(write(tmp_path, files))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer_config.json", {"bos_token": 5}),
        ("tokenizer_config.json", {"bos_token": {"content": 5}}),
        ("tokenizer_config.json", {"add_bos_token": "yes"}),
        ("tokenizer_config.json", {"tokenizer_class": ["x"]}),
        ("tokenizer_config.json", {"added_tokens_decoder": []}),
        ("tokenizer_config.json", {"added_tokens_decoder": [1]}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "a"}}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"-1": {"content": "a"}}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"9" * 5000: {"content": "a"}}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"1": {"content": ""}}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"1": "a"}}),
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", '{"a":' * 10_000),
        ("special_tokens_map.json", "nonsense"),
        ("added_tokens.json", {"a": "b"}),
        ("chat_template.jinja", b"\xff"),
        ("chat_template.json", {"chat_template": 5}),
        *(("generation_config.json", {"eos_token_id": number}) for number in [*HUGE, 1.5, True, [None], "2"]
          if number != 0),
    ],
)  # fmt: skip
def test_settings_of_wrong_types(name: str, content: object, tmp_path: Path) -> None:
    write(tmp_path, {"tokenizer.model": sentencepiece_model(few_pieces()), name: content})
    with pytest.raises(TokenizerError):
        load_text(tmp_path)


def change_somewhere(value: object, draw: random.Random) -> object:
    """A JSON value with one part replaced by something else."""
    replacements: list[object] = [None, True, -1, 2**64, 1.5, "", "x", [], {}, [[]], {"type": "ByteLevel"}]
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        if draw.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        return {**value, key: change_somewhere(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.9:
        index = draw.randrange(len(value))
        return [*value[:index], change_somewhere(value[index], draw), *value[index + 1 :]]
    return draw.choice(replacements)


def test_tokenizer_json_with_any_part_changed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    original = json.loads(byte_level().to_str())
    draw = random.Random(5)
    for _ in range(300):
        write(tmp_path, {"tokenizer.json": change_somewhere(original, draw)})

        def use() -> None:
            text = load_text(tmp_path)
            assert text is not None
            text.tokenizer.decode(text.tokenizer.encode("hello <s> é", parse_special=False))

        outcome(use)
    capfd.readouterr()


def test_tokenizer_json_truncated(tmp_path: Path) -> None:
    whole = byte_level().to_str().encode()
    for length in range(0, len(whole), 37):
        with pytest.raises(TokenizerError):
            load_text(write(tmp_path, {"tokenizer.json": whole[:length]}))


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAAEAAABhYmM="}},
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}},
        {"post_processor": {"type": "TemplateProcessing", "pair": [], "special_tokens": {"x": {
            "id": "x", "ids": [2**32 - 1] * 99, "tokens": ["x"] * 99}}, "single": [
            {"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}},
        {"model": {"type": "BPE", "vocab": {"a": 2**32 - 1}, "merges": []}},
        {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "a"]]}},
        {"model": {"type": "BPE", "vocab": {"a": 0, "aa": 1}, "merges": [["a", "a"]],
                   "continuing_subword_prefix": "#####"}},
        {"model": {"type": "Unigram", "unk_id": 9, "vocab": [["a", 0.0]]}},
        {"model": {"type": "Mystery"}},
        {"decoder": {"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": True}},
    ],
)  # fmt: skip
def test_tokenizer_json_that_makes_no_sense(
    change: dict[str, object], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, {"tokenizer.json": json.loads(byte_level().to_str()) | change})
    with pytest.raises(TokenizerError) as caught:
        load_text(tmp_path)
    assert str(tmp_path) not in str(caught.value)
    capfd.readouterr()


def test_files_that_are_no_files_or_too_large(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(TokenizerError, match="not a regular file"):
        load_text(tmp_path)
    (tmp_path / "tokenizer.json").rmdir()
    os.mkfifo(tmp_path / "tokenizer.json")
    with pytest.raises(TokenizerError, match="not a regular file"):
        load_text(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(TokenizerError, match="8589934592 bytes, more than"):
        load_text(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": None, "scores": [0.0]},
        {"tokens": "abc"},
        {"tokens": 5},
        {"tokens": []},
        {"tokens": [5] * 300},
        {"tokens": [b"\xff"] * 300},
        {"scores": [1.0]},
        {"scores": ["x"] * 300},
        {"scores": [float("nan")] * 300},
        {"token_type": [1]},
        {"token_type": ["x"]},
        {"token_type": [float("inf")] * 300},
        {"model": 5},
        {"add_bos_token": 1},
        {"add_space_prefix": "no"},
        {"precompiled_charsmap": [300]},
        {"precompiled_charsmap": 2**40},
        *({name: number} for name in ("bos_token_id", "eos_token_id", "eot_token_id") for number in [*HUGE, 1.5, "1"]
          if number != 0),
        *({"token_type": [number] * 300} for number in [7, *HUGE]),
    ],
)  # fmt: skip
def test_gguf_vocabularies_that_make_no_sense(changes: dict[str, object]) -> None:
    metadata = spm_metadata(**changes)
    if changes.get("tokens", 0) is None:
        assert text_from_gguf(metadata) is None
        return
    with pytest.raises(TokenizerError):
        text_from_gguf(metadata)


@pytest.mark.parametrize(
    "changes",
    [
        {"merges": None},
        {"merges": ["h"]},
        {"merges": ["h e l"]},
        {"merges": ["zz yy"]},
        {"merges": [5]},
        {"pre": 5},
        {"pre": ""},
        {"tokens": ["a", "b"], "token_type": [1, 1]},
    ],
)
def test_gguf_byte_level_vocabularies_that_make_no_sense(changes: dict[str, object]) -> None:
    metadata = gguf_like_gpt2() | {f"tokenizer.ggml.{name}": value for name, value in changes.items()}
    if changes == {"pre": ""}:  # as llama.cpp does where a file does not say
        assert text_from_gguf(metadata) is not None
        return
    with pytest.raises(TokenizerError):
        text_from_gguf(metadata)


def test_gguf_word_piece_needs_an_unknown_token() -> None:
    metadata: dict[str, object] = {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": ["[UNK]", "▁hi", "ing", "▁hi"],
    }
    with pytest.raises(TokenizerError, match="unknown_token_id is missing"):
        text_from_gguf(metadata)
    with pytest.raises(TokenizerError, match="4 pieces, 3 of them different"):
        text_from_gguf(metadata | {"tokenizer.ggml.unknown_token_id": 0})
