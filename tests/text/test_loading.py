"""Which files make a tokenizer, what the files beside them say, and how GGUF metadata is read."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from freehold.errors import TokenizerError
from freehold.text import Text, load_text, text_from_gguf
from freehold.text.content import Kind, Piece
from freehold.text.sources.settings import Settings
from freehold.text.sources.tekken import tekken_tokenizer
from freehold.text.spelling import BYTE_OF_CHARACTER, to_byte_alphabet
from tests.support.assets import asset
from tests.support.llama2c import sentencepiece_model as llama2c_model
from tests.support.vocabularies import BYTE_PIECES, gguf_metadata, sentencepiece_model, small_pieces

RANKS = [*(bytes((byte,)) for byte in range(256)), b"he", b"ll", b"hell", b"hello"]


def write(folder: Path, files: Mapping[str, object]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else (
            content if isinstance(content, str) else json.dumps(content)
        ).encode()  # fmt: skip
        (folder / name).write_bytes(data)
    return folder


def loaded(folder: Path) -> Text:
    text = load_text(folder)
    assert text is not None
    return text


def rank_file(ranks: list[bytes] = RANKS) -> bytes:
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(ranks))


VOCAB = {piece: index for index, piece in enumerate([*BYTE_PIECES, "he", "ll", "hell", "hello", "<|endoftext|>"])}
MERGES = "#version: 0.2\nh e\nl l\nhe ll\nhell o\n"


def test_the_byte_alphabet_is_gpt2s() -> None:
    assert len(BYTE_OF_CHARACTER) == 256
    assert sorted(BYTE_OF_CHARACTER.values()) == list(range(256))
    assert to_byte_alphabet(b" \n\x00\xff!") == "ĠĊĀÿ!"


def test_a_folder_without_tokenizer_files_has_no_text(tmp_path: Path) -> None:
    assert load_text(write(tmp_path, {"config.json": {"vocab_size": 5}})) is None


def test_vocab_and_merges_are_gpt2s_unless_the_class_says_otherwise(tmp_path: Path) -> None:
    text = loaded(write(tmp_path, {"vocab.json": VOCAB, "merges.txt": MERGES}))
    assert text.tokenizer.encode("hello<|endoftext|>") == [259, 260]
    assert text.tokenizer.special_tokens == {"<|endoftext|>": 260}
    write(tmp_path, {"tokenizer_config.json": {"tokenizer_class": "Qwen2TokenizerFast"}})
    assert loaded(tmp_path).tokenizer.encode("12 hello")[:3] == [VOCAB["1"], VOCAB["2"], VOCAB["Ġ"]]
    write(tmp_path, {"tokenizer_config.json": {"tokenizer_class": "ExoticTokenizer"}})
    with pytest.raises(TokenizerError, match="ExoticTokenizer") as caught:
        load_text(tmp_path)
    assert caught.value.hint is not None
    assert "Qwen2Tokenizer" in caught.value.hint


def test_merges_may_be_missing_only_where_ids_rank_them(tmp_path: Path) -> None:
    write(tmp_path, {"vocab.json": VOCAB})
    with pytest.raises(TokenizerError, match=r"no merges\.txt"):
        load_text(tmp_path)
    write(tmp_path, {"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer"}})
    assert loaded(tmp_path).tokenizer.encode("hello") == [259]


def test_a_rank_file_is_recognised_by_its_name(tmp_path: Path) -> None:
    text = loaded(write(tmp_path, {"cl100k_base.tiktoken": rank_file()}))
    assert text.tokenizer.encode("hello") == [259]
    assert text.tokenizer.special_tokens["<|endofprompt|>"] == 100_276
    write(tmp_path, {"mystery.tiktoken": rank_file()})
    (tmp_path / "cl100k_base.tiktoken").unlink()
    with pytest.raises(TokenizerError, match="family"):
        load_text(tmp_path)


def test_a_model_file_of_ranks_needs_a_known_number_of_them(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="260 ranks") as caught:
        load_text(write(tmp_path, {"tokenizer.model": rank_file()}))
    assert "128000 (llama3)" in str(caught.value.hint)


def test_several_model_files_are_not_guessed_among(tmp_path: Path) -> None:
    model = sentencepiece_model(small_pieces("▁hello"))
    write(tmp_path, {"a.model": model, "b.model.v3": model})
    with pytest.raises(TokenizerError, match=r"a\.model, b\.model\.v3"):
        load_text(tmp_path)
    (tmp_path / "a.model").unlink()
    assert loaded(tmp_path).tokenizer.vocab_size == len(small_pieces("▁hello"))


def test_sentencepiece_settings(tmp_path: Path) -> None:
    write(tmp_path, {"tokenizer.model": sentencepiece_model(small_pieces("▁hello"))})
    plain = loaded(tmp_path).tokenizer
    hello = plain.encode("hello", add_special=False)
    assert plain.encode("hello") == [1, *hello]
    assert plain.encode("<s>hello", add_special=False) == [1, *hello]
    assert (plain.bos_id, plain.eos_ids) == (1, (2,))
    write(tmp_path, {"tokenizer_config.json": {"legacy": False, "add_bos_token": False, "add_eos_token": True}})
    other = loaded(tmp_path).tokenizer
    assert other.encode("hello") == [*hello, 2]
    assert other.encode("<s>hello", add_special=False) != [1, *hello]
    write(tmp_path, {"tokenizer_config.json": {"add_prefix_space": False}})
    assert loaded(tmp_path).tokenizer.decode(loaded(tmp_path).tokenizer.encode(" hello")) == " hello"


def test_sentencepiece_with_added_tokens(tmp_path: Path) -> None:
    pieces = small_pieces("▁hello")
    write(tmp_path, {"tokenizer.model": sentencepiece_model(pieces)})
    count = len(pieces)
    added = {
        "1": {"content": "<s>", "special": True},
        str(count): {"content": "<|im_end|>", "special": True},
        str(count + 1): {"content": "<tool>", "special": False},
    }
    write(tmp_path, {"tokenizer_config.json": {"added_tokens_decoder": added, "eos_token": "<|im_end|>"}})
    tokenizer = loaded(tmp_path).tokenizer
    assert tokenizer.eos_ids == (count,)
    assert tokenizer.encode("<tool><|im_end|>", add_special=False)[-2:] == [count + 1, count]
    for bad, message in (
        ({"1": {"content": "<other>"}}, "the vocabulary '<s>'"),
        ({str(count + 3): {"content": "x"}}, f"{count} is next"),
    ):
        write(tmp_path, {"tokenizer_config.json": {"added_tokens_decoder": bad}})
        with pytest.raises(TokenizerError, match=message):
            load_text(tmp_path)


def test_tekken(tmp_path: Path) -> None:
    vocabulary = [{"rank": i, "token_bytes": base64.b64encode(token).decode()} for i, token in enumerate(RANKS)]
    config: dict[str, object] = {
        "pattern": r"\p{L}+|\s+|.",
        "default_vocab_size": 30 + 259,
        "default_num_special_tokens": 30,
    }
    content: dict[str, object] = {"config": config, "vocab": vocabulary}
    tokenizer = loaded(write(tmp_path, {"tekken.json": content})).tokenizer
    assert tokenizer.encode("[INST]hell[/INST]") == [1, 3, 30 + 258, 4]
    assert tokenizer.encode("hello", add_special=False) == [30 + 258, 30 + ord("o")]  # cut off by the vocabulary's size
    assert tokenizer.special_tokens["<SPECIAL_29>"] == 29
    listed = [{"rank": 3, "token_str": "<go>"}]
    tokenizer = loaded(write(tmp_path, {"tekken.json": {**content, "special_tokens": listed}})).tokenizer
    assert tokenizer.special_tokens["<go>"] == 3
    broken_files: list[dict[str, object]] = [
        {},
        {"config": {}},
        {**content, "vocab": [{"rank": 1, "token_bytes": "AA=="}]},
        {**content, "vocab": [{"rank": 0, "token_bytes": "?"}]},
        {**content, "config": {**config, "default_num_special_tokens": 10**12}},
        {**content, "config": {**config, "pattern": "("}},
        {**content, "special_tokens": [{"rank": 99, "token_str": "x"}]},
    ]
    for broken in broken_files:
        with pytest.raises(TokenizerError):
            tekken_tokenizer(write(tmp_path, {"tekken.json": broken}) / "tekken.json", Settings())


def test_templates_from_each_place_and_which_wins(tmp_path: Path) -> None:
    files: dict[str, object] = {"tokenizer.model": sentencepiece_model(small_pieces("▁hello"))}
    assert loaded(write(tmp_path, files)).template is None
    config: dict[str, object] = {"chat_template": "from config {{ bos_token }}", "bos_token": "<s>"}
    text = loaded(write(tmp_path, {"tokenizer_config.json": config}))
    assert text.template is not None
    assert text.template.render([]) == "from config <s>"
    text = loaded(write(tmp_path, {"chat_template.json": {"chat_template": "from json"}}))
    assert text.template is not None
    assert text.template.source == "from json"
    text = loaded(write(tmp_path, {"chat_template.jinja": "from file"}))
    assert text.template is not None
    assert text.template.source == "from file"


def test_named_templates(tmp_path: Path) -> None:
    named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]
    write(tmp_path, {"tokenizer.model": sentencepiece_model(small_pieces("▁hello"))})
    text = loaded(write(tmp_path, {"tokenizer_config.json": {"chat_template": named}}))
    assert text.template is not None
    assert text.template.render([]) == "plain"
    assert text.template.render([], tools=[{"type": "function"}]) == "tools"
    assert text.template.render([], tools=[]) == "plain"
    write(tmp_path, {"tokenizer_config.json": {"chat_template": [{"name": "rag", "template": "r"}, named[1]]}})
    with pytest.raises(TokenizerError, match="none named default"):
        load_text(tmp_path)
    for bad in (5, ["x"], [{"name": "default"}]):
        write(tmp_path, {"tokenizer_config.json": {"chat_template": bad}})
        with pytest.raises(TokenizerError, match="chat_template"):
            load_text(tmp_path)
    write(tmp_path, {"tokenizer_config.json": {}, "additional_chat_templates/only.jinja": "one"})
    text = loaded(tmp_path)
    assert text.template is not None
    assert text.template.source == "one"


def test_released_folders_load_with_template_and_end_of_turn() -> None:
    text = loaded(asset("tokenizers/qwen2.5"))
    assert text.template is not None
    assert text.template.eos_token == "<|im_end|>"
    assert text.tokenizer.eos_ids == (151_645,)
    assert text.tokenizer.bos_id is None
    rendered = text.template.render([{"role": "user", "content": "Hi <|im_end|>"}])
    ids = text.tokenizer.encode(rendered, add_special=False)
    assert ids[0] == 151_644
    assert text.tokenizer.decode(ids, skip_special=False) == rendered


def test_stories260k_has_its_512_tokens(tmp_path: Path) -> None:
    data = asset("weights/stories260K/tok512.bin").read_bytes()
    tokenizer = loaded(write(tmp_path, {"tokenizer.model": llama2c_model(data)})).tokenizer
    assert tokenizer.vocab_size == 512
    ids = tokenizer.encode("Once upon a time, there was a little girl named Lily.")
    assert ids[0] == 1
    assert tokenizer.decode(ids) == "Once upon a time, there was a little girl named Lily."


def spm_metadata(**changes: object) -> dict[str, object]:
    pieces = [*small_pieces("▁hello"), Piece("<tool>", 0, Kind.USER_DEFINED), Piece("  ", 0, Kind.USER_DEFINED)]
    metadata: dict[str, object] = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [piece.text for piece in pieces],
        "tokenizer.ggml.scores": [piece.score for piece in pieces],
        "tokenizer.ggml.token_type": [int(piece.kind) for piece in pieces],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    return metadata | {f"tokenizer.ggml.{name}": value for name, value in changes.items()}


def gguf(metadata: Mapping[str, object]) -> Text:
    text = text_from_gguf(metadata)
    assert text is not None
    return text


def test_gguf_sentencepiece() -> None:
    tokenizer = gguf(spm_metadata()).tokenizer
    assert tokenizer.decode(tokenizer.encode("hello<tool>  x")) == "hello<tool>  x"
    tool, spaces = tokenizer.vocab_size - 2, tokenizer.vocab_size - 1
    assert tokenizer.encode("hello<tool>  ", parse_special=False)[-2:] == [tool, spaces]
    assert tokenizer.encode("hello")[0] == 1
    assert tokenizer.eos_ids == (2,)
    without = gguf(spm_metadata(add_bos_token=False, add_eos_token=True, add_space_prefix=False)).tokenizer
    assert without.encode("hello")[-1] == 2
    assert 1 not in without.encode("hello")
    assert without.decode(without.encode(" hello")) == " hello"


def test_gguf_templates() -> None:
    metadata = spm_metadata() | {
        "tokenizer.chat_template": "{{ bos_token }}{{ messages[0].content }}",
        "tokenizer.chat_template.tool_use": "tools",
    }
    template = gguf(metadata).template
    assert template is not None
    assert template.render([{"role": "user", "content": "x"}]) == "<s>x"
    assert template.render([], tools=[{}]) == "tools"
    assert gguf(spm_metadata()).template is None


def test_gguf_without_a_vocabulary() -> None:
    assert text_from_gguf({}) is None
    assert text_from_gguf({"tokenizer.ggml.model": "none"}) is None


def test_gguf_names_what_it_does_not_know() -> None:
    with pytest.raises(TokenizerError, match="rwkv") as caught:
        text_from_gguf(spm_metadata(model="rwkv"))
    assert caught.value.hint == "known are llama, t5, gpt2, bert"
    metadata = gguf_like_gpt2() | {"tokenizer.ggml.pre": "exotic-bpe"}
    with pytest.raises(TokenizerError, match="exotic-bpe") as caught:
        text_from_gguf(metadata)
    assert "llama-bpe" in str(caught.value.hint)


def gguf_like_gpt2() -> dict[str, object]:
    tokens = [*BYTE_PIECES, "he", "ll", "hell", "hello", "<|im_end|>", "<|endoftext|>", "<think>"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * 260 + [3, 3, 4],
        "tokenizer.ggml.merges": ["h e", "l l", "he ll", "hell o"],
        "tokenizer.ggml.eos_token_id": 261,
    }


def test_gguf_byte_level() -> None:
    tokenizer = gguf(gguf_like_gpt2()).tokenizer
    assert tokenizer.encode("hello<think><|im_end|>") == [259, 262, 260]
    assert set(tokenizer.eos_ids) == {260, 261}  # a turn ends with <|im_end|> although the file names another EOS
    assert tokenizer.bos_id is None


def test_gguf_harmony_turns_do_not_end_at_the_end_of_a_message() -> None:
    metadata = gguf_like_gpt2()
    names = ["<|end|>", "<|return|>", "<|call|>"]
    metadata["tokenizer.ggml.tokens"] = [*BYTE_PIECES, "he", "ll", "hell", "hello", *names]
    metadata["tokenizer.ggml.token_type"] = [1] * 260 + [3, 3, 3]
    assert set(gguf(metadata).tokenizer.eos_ids) == {261, 262}


def test_gguf_arrays_may_be_any_sequence() -> None:
    numpy = pytest.importorskip("numpy")
    metadata = spm_metadata()
    metadata["tokenizer.ggml.scores"] = numpy.array(metadata["tokenizer.ggml.scores"], dtype=numpy.float32)
    metadata["tokenizer.ggml.token_type"] = numpy.array(metadata["tokenizer.ggml.token_type"], dtype=numpy.int32)
    metadata["tokenizer.ggml.tokens"] = tuple(str(text).encode() for text in metadata["tokenizer.ggml.tokens"])  # type: ignore[attr-defined]
    assert gguf(metadata).tokenizer.encode("hello") == gguf(spm_metadata()).tokenizer.encode("hello")


def test_every_released_vocabulary_reads_its_flags() -> None:
    folder = asset("tokenizers/ggml-vocab")
    tokenizer = gguf(gguf_metadata(folder / "ggml-vocab-deepseek-llm.gguf")).tokenizer
    assert tokenizer.encode("x")[0] == tokenizer.bos_id == 100_000
    tokenizer = gguf(gguf_metadata(folder / "ggml-vocab-bert-bge.gguf")).tokenizer
    assert tokenizer.encode("hello") == [101, 7592, 102]
