"""Exports are whole models: weights, vocabulary, template and sampling, read back by us and by others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

import freehold
from freehold.checkpoints import open_checkpoint
from freehold.checkpoints.base import Naming
from freehold.errors import CheckpointError, ConfigError
from freehold.exporting import export_model
from freehold.tensors import WeightType
from freehold.text import Text, load_text, text_from_gguf
from tests.support.assets import asset
from tests.support.tiny_folder import write_tiny_model

MESSAGES = [{"role": "user", "content": "Hello <end> there, 1234!"}]
SAMPLES = ["", "Hello world", "  two  spaces ", "naïve café 東京 🙂", "1234567", "tab\tnew\nline\r\n", "<end>"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_tiny_model(tmp_path / "tiny")
    (folder / "generation_config.json").write_text(json.dumps({"do_sample": True, "temperature": 0.5, "top_k": 20}))
    return folder


def assert_same_text(found: Text | None, expected: Text | None) -> None:
    assert found is not None
    assert expected is not None
    for sample in SAMPLES:
        for parse_special in (True, False):
            ids = expected.tokenizer.encode(sample, parse_special=parse_special)
            assert found.tokenizer.encode(sample, parse_special=parse_special) == ids
            assert found.tokenizer.decode(ids, skip_special=False) == expected.tokenizer.decode(ids, skip_special=False)
    assert found.tokenizer.eos_ids == expected.tokenizer.eos_ids
    assert found.tokenizer.bos_id == expected.tokenizer.bos_id
    assert found.template == expected.template


def test_gguf_answers_as_the_folder_does(folder: Path) -> None:
    output = folder.parent / "tiny.gguf"
    export_model(folder, output, Naming.GGUF, None)
    with freehold.load(folder) as original, freehold.load(output) as exported:
        assert_same_text(exported.text, original.text)
        assert exported.recommended == original.recommended
        assert exported.chat(MESSAGES, max_tokens=20, seed=1) == original.chat(MESSAGES, max_tokens=20, seed=1)
        assert np.array_equal(exported.logits([[5, 6, 7]])[0], original.logits([[5, 6, 7]])[0])


def test_a_folder_made_from_gguf_answers_as_the_gguf_does(folder: Path) -> None:
    middle, back = folder.parent / "tiny.gguf", folder.parent / "back"
    export_model(folder, middle, Naming.GGUF, None)
    export_model(middle, back, Naming.HUGGING_FACE, None)
    with freehold.load(middle) as original, freehold.load(back) as exported:
        assert_same_text(exported.text, original.text)
        assert exported.recommended == original.recommended
        assert exported.chat(MESSAGES, max_tokens=20, seed=1) == original.chat(MESSAGES, max_tokens=20, seed=1)


def test_from_folder_to_folder_the_text_files_are_copied(folder: Path) -> None:
    output = folder.parent / "half"
    export_model(folder, output, Naming.HUGGING_FACE, WeightType.F16)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (output / name).read_bytes() == (folder / name).read_bytes()


def test_others_read_our_gguf(folder: Path) -> None:
    output = folder.parent / "tiny.gguf"
    export_model(folder, output, Naming.GGUF, WeightType.Q8)
    reader = GGUFReader(output)
    assert reader.fields["general.architecture"].contents() == "llama"
    assert reader.fields["llama.block_count"].contents() == 2
    tokenizer = load_text(folder)
    assert tokenizer is not None
    assert len(reader.fields["tokenizer.ggml.tokens"].contents()) >= tokenizer.tokenizer.vocab_size
    types = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert types["blk.0.ffn_up.weight"] == "Q8_0"
    assert types["blk.0.attn_norm.weight"] == "F32"


def test_quantised_gguf_to_quantised_gguf_keeps_what_is_small_enough(folder: Path) -> None:
    small, smaller = folder.parent / "q8.gguf", folder.parent / "q4.gguf"
    export_model(folder, small, Naming.GGUF, WeightType.Q8)
    export_model(small, smaller, Naming.GGUF, WeightType.Q4)
    assert smaller.stat().st_size < small.stat().st_size
    types = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(smaller).tensors}
    assert types["blk.0.ffn_up.weight"] == "Q4_0"
    assert types["token_embd.weight"] == "Q8_0"
    kept = open_checkpoint(smaller).read("token_embd.weight")
    assert np.array_equal(kept.data, open_checkpoint(small).read("token_embd.weight").data)
    with freehold.load(small) as wide, freehold.load(smaller) as narrow:
        expected, found = wide.logits([[5, 6, 7]])[0], narrow.logits([[5, 6, 7]])[0]
        assert 0 < np.abs(found - expected).max() < 0.5 * np.abs(expected).max()


def test_every_tensor_is_reported(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    export_model(folder, folder.parent / "a.gguf", Naming.GGUF, None, lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, seen[0][1] + 1))


def test_nothing_is_overwritten_and_nothing_half_written_stays(folder: Path) -> None:
    output = folder.parent / "taken.gguf"
    output.write_bytes(b"precious")
    with pytest.raises(CheckpointError, match="exists already"):
        export_model(folder, output, Naming.GGUF, None)
    assert output.read_bytes() == b"precious"
    before = sorted(folder.parent.iterdir())
    with pytest.raises(ConfigError):
        export_model(folder, folder.parent / "new", Naming.HUGGING_FACE, WeightType.Q4)
    assert sorted(folder.parent.iterdir()) == before


@pytest.mark.parametrize("name", ["llama-spm", "gpt-2"])
def test_real_vocabularies_survive_the_way_through_a_folder(name: str, tmp_path: Path) -> None:
    from freehold.text.writing import write_text_files

    original = text_from_gguf(open_checkpoint(asset(f"tokenizers/ggml-vocab/ggml-vocab-{name}.gguf")).config)
    assert original is not None
    write_text_files(original.tokenizer, original.template, {}, tmp_path)
    assert_same_text(load_text(tmp_path), original)
