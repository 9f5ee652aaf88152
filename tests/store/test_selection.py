"""Which files make up a model."""

from __future__ import annotations

import json

import pytest

from freehold.errors import StoreError
from freehold.store.names import ModelName
from freehold.store.selection import RemoteFile, gguf_variants, select_gguf, select_safetensors

NAME = ModelName("org", "tiny")


def listing(*paths: str) -> list[RemoteFile]:
    return [RemoteFile(path, 1, "0" * 64) for path in paths]


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf", "Q4_K_M"),
        ("qwen2.5-0.5b-instruct-q8_0.gguf", "Q8_0"),
        ("Model-IQ4_XS.gguf", "IQ4_XS"),
        ("Model-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("Model-BF16.gguf", "BF16"),
        ("Model.fp16.gguf", "FP16"),
        ("gpt-oss-20b-MXFP4.gguf", "MXFP4"),
        ("Q8_0/Model-Q8_0.gguf", "Q8_0"),
        ("stories.gguf", "stories"),
        ("Model v2 (final).gguf", "Model-v2--final"),
    ],
)
def test_label_of_a_file(path: str, label: str) -> None:
    assert list(gguf_variants(listing(path))) == [label]


def test_files_that_share_a_quantisation_are_told_apart_by_name() -> None:
    variants = gguf_variants(listing("base-Q4_0.gguf", "chat-Q4_0.gguf", "chat-Q8_0.gguf"))
    assert {label: parts[0].path for label, parts in variants.items()} == {
        "base-Q4_0": "base-Q4_0.gguf",
        "chat-Q4_0": "chat-Q4_0.gguf",
        "Q8_0": "chat-Q8_0.gguf",
    }


def test_projectors_and_importance_matrices_are_no_models() -> None:
    assert gguf_variants(listing("mmproj-model-f16.gguf", "model-imatrix.gguf", "notes.txt")) == {}


def test_split_with_a_part_missing_is_not_offered() -> None:
    variants = gguf_variants(listing("a-Q8_0-00001-of-00003.gguf", "a-Q8_0-00002-of-00003.gguf", "a-Q4_0.gguf"))
    assert list(variants) == ["Q4_0"]


def test_parts_of_a_split_come_in_order() -> None:
    selection = select_gguf(NAME, listing("x/a-Q8_0-00002-of-00002.gguf", "x/a-Q8_0-00001-of-00002.gguf"))
    assert [file.name for file in selection.files] == ["a-Q8_0-00001-of-00002.gguf", "a-Q8_0-00002-of-00002.gguf"]
    assert selection.entry == selection.files[0].name


def test_single_file_comes_before_the_index_of_a_sharded_copy() -> None:
    files = listing(
        "config.json", "model.safetensors", "model.safetensors.index.json", "model-00001-of-00002.safetensors"
    )
    selected = [file.path for file in select_safetensors(NAME, files, None).files]
    assert selected == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("path", ["../../evil-Q8_0.gguf", "/etc/evil-Q8_0.gguf"])
def test_path_of_a_gguf_file_cannot_leave_the_folder(path: str) -> None:
    assert select_gguf(NAME, listing(path)).entry == "evil-Q8_0.gguf"


@pytest.mark.parametrize("path", [".hidden-Q8_0.gguf", "a\nb-Q8_0.gguf", "a\\..\\b-Q8_0.gguf"])
def test_name_that_cannot_be_stored_is_refused(path: str) -> None:
    with pytest.raises(StoreError, match="cannot be stored"):
        select_gguf(NAME, listing(path))


@pytest.mark.parametrize(
    "shard", ["../a.safetensors", "/a.safetensors", "a.bin", ".a.safetensors", "a\0.safetensors", 7]
)
def test_index_may_only_name_files_beside_it(shard: object) -> None:
    index = json.dumps({"weight_map": {"tensor": shard}}).encode()
    with pytest.raises(StoreError, match="not a safetensors file beside it"):
        select_safetensors(NAME, listing("config.json", "model.safetensors.index.json"), index)
