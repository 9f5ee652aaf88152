"""Texts to vectors, against transformers on the same folder and pooling written out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import freehold
from freehold.cli import main
from freehold.errors import ConfigError, ContextExceeded
from tests.support.tiny_folder import write_tiny_model

TEXTS = ["a bad cab", "cab", "dad had a bad cab, a bad, bad cab", ""]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "bad", "cab", "dad", "had", ",", "##s"]
CONTEXT = 24


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder as transformers writes it, without sentence-transformers' files."""
    folder = tmp_path_factory.mktemp("encoders") / "plain"
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=3,
        max_position_embeddings=CONTEXT,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(WordPiece({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens(WORDS[:4])
    tokenizer.post_processor = TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", [("[CLS]", 2), ("[SEP]", 3)]
    )
    build: Any = PreTrainedTokenizerFast  # transformers leaves it without types
    fast = build(tokenizer_object=tokenizer, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")
    fast.save_pretrained(folder)
    return folder


def with_modules(plain: Path, folder: Path, pooling: dict[str, Any], *, normalise: bool = False, **limits: Any) -> Path:
    """The same encoder with sentence-transformers' files."""
    folder.mkdir()
    for file in plain.iterdir():
        (folder / file.name).symlink_to(file)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")] + ([("2_Normalize", "Normalize")] if normalise else [])
    described = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(described))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 24, **pooling}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": CONTEXT, **limits}))
    return folder


def reference_rows(folder: Path) -> list[np.ndarray]:
    """Rows of each text by transformers' tokenizer and model."""
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder)
    model: Any = BertModel.from_pretrained(folder)
    model.eval()
    with torch.no_grad():
        encoded = [tokenizer(text, return_tensors="pt", return_token_type_ids=False) for text in TEXTS]
        return [model(**one).last_hidden_state[0].numpy() for one in encoded]


def embed(folder: Path, texts: list[str] = TEXTS, **options: Any) -> np.ndarray:
    with freehold.load(folder) as model:
        return model.embed(texts, **options)


def test_without_further_files_vectors_are_means(plain: Path) -> None:
    expected = np.stack([rows.mean(0) for rows in reference_rows(plain)])
    np.testing.assert_allclose(embed(plain), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, lambda rows: rows[0]),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, lambda rows: rows.mean(0)),
        ({"pooling_mode_lasttoken": True}, lambda rows: rows[-1]),
        ({"pooling_mode": "cls"}, lambda rows: rows[0]),
    ],
)
@pytest.mark.parametrize("normalise", [False, True])
def test_pooling_is_what_the_files_say(
    plain: Path, tmp_path: Path, pooling: dict[str, Any], expected: Any, normalise: bool
) -> None:
    folder = with_modules(plain, tmp_path / "model", pooling, normalise=normalise)
    vectors = np.stack([expected(rows) for rows in reference_rows(plain)])
    if normalise:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(folder), vectors, atol=2e-5)


def test_a_vector_does_not_depend_on_the_other_texts(plain: Path) -> None:
    together = embed(plain)
    for index, text in enumerate(TEXTS):
        assert np.array_equal(embed(plain, [text])[0], together[index])


def test_the_caller_decides_on_normalising(plain: Path) -> None:
    assert np.allclose(np.linalg.norm(embed(plain, normalise=True), axis=1), 1, atol=1e-6)
    assert not np.allclose(np.linalg.norm(embed(plain, normalise=False), axis=1), 1, atol=0.01)


def test_no_texts_give_no_vectors(plain: Path) -> None:
    assert embed(plain, []).shape == (0, 24)


def test_a_long_text_is_refused_or_cut_if_asked(plain: Path, tmp_path: Path) -> None:
    folder = with_modules(plain, tmp_path / "model", {"pooling_mode": "mean"}, max_seq_length=6)
    long = "a bad cab had a bad dad"
    with pytest.raises(ContextExceeded, match="text 1 has 9 tokens; the model reads 6"):
        embed(folder, ["cab", long])
    assert np.array_equal(embed(folder, [long], truncate=True), embed(folder, ["a bad cab had"]))


def test_a_default_prompt_is_put_before_every_text(plain: Path, tmp_path: Path) -> None:
    folder = with_modules(plain, tmp_path / "model", {"pooling_mode": "mean"})
    settings = {"prompts": {"query": "a bad "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    assert np.array_equal(embed(folder, ["cab"]), embed(plain, ["a bad cab"]))


@pytest.mark.parametrize(
    ("file", "contents", "message"),
    [
        ("modules.json", '[{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]', "models.Dense"),
        ("modules.json", '[{"path": "../else", "type": "x.Pooling"}]', "leads out"),
        ("modules.json", "{}", "no list of objects"),
        ("modules.json", "[", "not valid JSON"),
        ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}', "pooling_mode_max_tokens"),
        ("1_Pooling/config.json", '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}', "one of"),
        ("1_Pooling/config.json", "{}", "one of mean, cls, last"),
        ("sentence_bert_config.json", '{"max_seq_length": -3}', "-3"),
        ("sentence_bert_config.json", '{"do_lower_case": true}', "do_lower_case"),
        ("config_sentence_transformers.json", '{"default_prompt_name": "query"}', "query"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    plain: Path, tmp_path: Path, file: str, contents: str, message: str
) -> None:
    folder = with_modules(plain, tmp_path / "model", {"pooling_mode": "mean"})
    (folder / file).write_text(contents)
    with pytest.raises(ConfigError, match=message):
        freehold.load(folder)


def test_models_that_write_do_not_embed_and_the_reverse(plain: Path, tmp_path: Path) -> None:
    with freehold.load(plain) as model:
        with pytest.raises(ConfigError, match="BertModel embeds texts; it does not write any"):
            model.generate("cab")
        with pytest.raises(ConfigError, match="does not write any"):
            model.logits([[4]])
    with freehold.load(write_tiny_model(tmp_path / "writer")) as writer, pytest.raises(ConfigError, match="not embed"):
        writer.embed(["cab"])


def test_an_encoder_keeps_nothing_that_could_have_a_type(plain: Path) -> None:
    with pytest.raises(ConfigError, match="cache_type is 'q8', but BertModel embeds texts and keeps no keys"):
        freehold.load(plain, cache_type="q8")


def test_the_verb_prints_a_line_of_json_for_each_text(plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(plain), *TEXTS[:2]]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == TEXTS[:2]
    assert np.array_equal(np.array([line["embedding"] for line in lines], np.float32), embed(plain, TEXTS[:2]))


def test_the_verb_writes_a_numpy_file(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(plain), "cab", "--normalise", "--output", str(tmp_path / "vectors.npy")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "vectors.npy")
    assert np.array_equal(np.load(tmp_path / "vectors.npy"), embed(plain, ["cab"], normalise=True))


def test_the_verb_refuses_a_model_that_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(write_tiny_model(tmp_path / "writer")), "cab"]) == 1
    assert "it does not embed" in capsys.readouterr().err
