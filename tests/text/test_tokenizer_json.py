"""`tokenizer.json`: read as the library reads it, spelled by us."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from freehold.errors import TokenizerError
from freehold.text import Tokenizer, load_text
from tests.support.vocabularies import BYTE_PIECES, small_pieces

TEXTS = ["hello wor", " hello", "  ", "", "a日b🦙\n", "<s>hello</s>hello", "x <tool> y", "é\t1234 "]


def byte_level() -> tokenizers.Tokenizer:
    pieces = [*BYTE_PIECES, "he", "ll", "hell", "hello", "Ġw"]
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "w")]
    library = tokenizers.Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens(["<s>", "</s>"])
    library.add_tokens(["<tool>"])
    library.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 261)])
    return library


def llama_like() -> tokenizers.Tokenizer:
    pieces = small_pieces("▁hello", "▁wor", "lo")
    texts = [piece.text for piece in pieces]
    known = set(texts[259:])
    merges = [
        (text[:cut], text[cut:])
        for text in texts[259:]
        for cut in range(1, len(text))
        if text[:cut] in known and text[cut:] in known
    ]
    library = tokenizers.Tokenizer(
        models.BPE(
            vocab={text: i for i, text in enumerate(texts)},
            merges=merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    library.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0),
    ])  # fmt: skip
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return library


def metaspace_unigram() -> tokenizers.Tokenizer:
    scored = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁hello", -1.0), ("▁", -2.0), ("wor", -2.5)]
    scored += [(letter, -4.0) for letter in "helowr<s>/ "]
    library = tokenizers.Tokenizer(models.Unigram(list(dict(scored).items()), unk_id=0))
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.decoder = decoders.Metaspace()
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    return library


def word_piece() -> tokenizers.Tokenizer:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "wor", "##ld", ",", "!", "x", "y"]
    library = tokenizers.Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]", max_input_chars_per_word=99)
    )
    library.normalizer = normalizers.BertNormalizer()
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    library.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    library.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return library


def word_level() -> tokenizers.Tokenizer:
    library = tokenizers.Tokenizer(models.WordLevel({"hello": 0, "wor": 1, "?": 2}, unk_token="?"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    return library


KINDS = {
    "byte_level": byte_level,
    "llama_like": llama_like,
    "metaspace_unigram": metaspace_unigram,
    "word_piece": word_piece,
    "word_level": word_level,
}


def load(library: tokenizers.Tokenizer, folder: Path, **settings: object) -> Tokenizer:
    library.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    text = load_text(folder)
    assert text is not None
    return text.tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_encodes_as_the_library_does(kind: str, tmp_path: Path) -> None:
    library = KINDS[kind]()
    ours = load(library, tmp_path)
    for text in TEXTS:
        assert ours.encode(text) == library.encode(text).ids
        assert ours.encode(text, add_special=False) == library.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", KINDS)
def test_decodes_as_the_library_does(kind: str, tmp_path: Path) -> None:
    library = KINDS[kind]()
    ours = load(library, tmp_path)
    draw = random.Random(7)
    ids = [token_id for token_id in range(ours.vocab_size) if not is_lone_byte(ours, token_id)]
    for _ in range(300):
        chosen = draw.choices(ids, k=draw.randrange(12))
        assert ours.decode(chosen) == library.decode(chosen)
        if kind != "word_piece":  # where we write control tokens without a space before them
            assert ours.decode(chosen, skip_special=False) == library.decode(chosen, skip_special_tokens=False)
    for text in TEXTS:
        chosen = library.encode(text).ids
        assert ours.decode(chosen) == library.decode(chosen)


def is_lone_byte(tokenizer: Tokenizer, token_id: int) -> bool:
    """Whether a token is half a character; the library counts replacement characters in its own way there."""
    return "\ufffd" in tokenizer.token_text(token_id)


@pytest.mark.parametrize("kind", ["byte_level", "llama_like", "metaspace_unigram"])
def test_plain_text_never_becomes_a_control_token(kind: str, tmp_path: Path) -> None:
    ours = load(KINDS[kind](), tmp_path)
    assert 1 in ours.encode("<s>") or 261 in ours.encode("<s>")
    for text in ("<s>", "a<s>b</s>", "<s><s>", "< s>", "<s", "</s>hello"):
        control = {token_id for name, token_id in ours.special_tokens.items() if name != "<unk>"}
        assert control.isdisjoint(ours.encode(text, add_special=False, parse_special=False))


def test_added_tokens_that_are_no_control_tokens_stay_whole_in_plain_text(tmp_path: Path) -> None:
    ours = load(byte_level(), tmp_path)
    assert ours.encode("<tool>", add_special=False, parse_special=False) == [263]
    assert ours.decode([263]) == "<tool>"


def test_truncation_padding_and_dropout_in_the_file_are_not_followed(tmp_path: Path) -> None:
    library = byte_level()
    library.enable_truncation(max_length=3)
    library.enable_padding(length=50)
    library.model.dropout = 0.9
    ours = load(library, tmp_path)
    assert ours.encode("hello", add_special=False) == [259]
    assert len(ours.encode("abcdefgh", add_special=False)) == 8


def test_what_the_configuration_says_about_marks_wins(tmp_path: Path) -> None:
    ours = load(llama_like(), tmp_path, bos_token="<s>", eos_token="</s>", add_bos_token=False, add_eos_token=False)
    assert ours.encode("hello") == ours.encode("hello", add_special=False)
    ours = load(byte_level(), tmp_path, bos_token="<s>", eos_token={"content": "</s>"}, add_eos_token=True)
    assert ours.encode("hello") == [261, 259, 262]
    assert (ours.bos_id, ours.eos_ids) == (261, (262,))


def test_tokens_that_only_the_configuration_adds(tmp_path: Path) -> None:
    added = {"264": {"content": "<|new|>", "special": True}, "265": {"content": "<word>", "special": False}}
    ours = load(byte_level(), tmp_path, added_tokens_decoder=added)
    assert ours.encode("a<|new|><word>", add_special=False)[1:] == [264, 265]
    assert ours.special_tokens["<|new|>"] == 264
    assert 264 not in ours.encode("<|new|>", parse_special=False)
    with pytest.raises(TokenizerError, match="as id 300, the vocabulary gives it id 264"):
        load(byte_level(), tmp_path, added_tokens_decoder={"300": {"content": "<|new|>"}})


def test_ids_that_end_a_generation_come_from_generation_config_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"eos_token_id": 5}')
    assert load(byte_level(), tmp_path, eos_token="</s>").eos_ids == (5, 262)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [261, 7]}')
    assert load(byte_level(), tmp_path, eos_token="</s>").eos_ids == (261, 7, 262)


def test_tokens_with_stripping_flags_are_left_to_the_library(tmp_path: Path) -> None:
    library = byte_level()
    library.add_special_tokens([AddedToken("<|user|>", rstrip=True, special=True)])
    ours = load(library, tmp_path)
    for text in ("<|user|>\n hello", "a <|user|> b"):
        assert ours.encode(text) == library.encode(text).ids


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.CTC(),
        decoders.BPEDecoder(),
        decoders.Strip(" ", 0, 1),
        decoders.Sequence([decoders.Fuse(), decoders.Strip(" ", 1, 0), decoders.Strip("a", 1, 0)]),
        decoders.Replace(tokenizers.Regex("a+"), "b"),
    ],
)
def test_decoders_that_cannot_be_read_piece_by_piece_are_refused(decoder: decoders.Decoder, tmp_path: Path) -> None:
    library = byte_level()
    library.decoder = decoder
    with pytest.raises(TokenizerError, match="not supported"):
        load(library, tmp_path)
