"""Hugging Face folders: which files make up a model, and folders that we write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from freehold.checkpoints import (
    Checkpoint,
    HuggingFaceCheckpoint,
    LazyTensor,
    Naming,
    open_checkpoint,
    save_folder,
    write_gguf,
)
from freehold.errors import CheckpointError
from freehold.tensors import Tensor
from tests.checkpoints.raw import EXPECTED, WRITTEN, Folder, Gguf, entry, index, safetensors
from tests.support.tiny import CONFIGURATIONS, reference

ONE = safetensors({"a": entry()})
OTHER = safetensors({"b": entry()})
EMPTY = safetensors({}, b"")
INDEX = "model.safetensors.index.json"


def names(checkpoint: Checkpoint) -> list[str]:
    for name in checkpoint.tensors:
        np.testing.assert_array_equal(checkpoint.read(name).float32(), EXPECTED)
    return sorted(checkpoint.tensors)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"model.safetensors": ONE}, ["a"]),
        ({"model.safetensors": ONE, "other.safetensors": OTHER}, ["a"]),
        ({"model.safetensors": ONE, INDEX: index({"b": "x.safetensors"})}, ["a"]),
        ({"weights.safetensors": ONE}, ["a"]),
        ({"x.safetensors": ONE, "y.safetensors": OTHER, INDEX: index({"a": "x.safetensors", "b": "y.safetensors"})},
         ["a", "b"]),
        ({"x.safetensors": ONE, "y.safetensors": OTHER, INDEX: index({"a": "x.safetensors"})}, ["a"]),
        ({"x.safetensors": ONE, "odd.safetensors.index.json": index({"a": "x.safetensors"})}, ["a"]),
        ({"x-00001-of-00002.safetensors": ONE, "x-00002-of-00002.safetensors": OTHER}, ["a", "b"]),
        ({"model.safetensors": ONE, "pytorch_model.bin": b"\x80\x04", "training_args.bin": b"\x80\x04"}, ["a"]),
        ({"model.safetensors": ONE, "model.gguf": Gguf().build()}, ["a"]),
        ({"model.safetensors": EMPTY}, []),
    ],
)  # fmt: skip
def test_which_files_make_up_a_model(files: dict[str, bytes], expected: list[str], tmp_path: Path) -> None:
    checkpoint = open_checkpoint(Folder(files).write(tmp_path))
    assert checkpoint.naming is Naming.HUGGING_FACE
    assert checkpoint.path == tmp_path
    assert dict(checkpoint.config) == {"model_type": "llama"}
    assert names(checkpoint) == expected


def test_an_index_may_say_more(tmp_path: Path) -> None:
    content = index({"a": "x.safetensors"}, extra={"nested": [1, {"é": "\N{GRINNING FACE}"}]}, last=None)
    assert names(open_checkpoint(Folder({"x.safetensors": ONE, INDEX: content}).write(tmp_path))) == ["a"]
    raw = json.dumps({"before": "é" * 50, "weight_map": {"a": "x.safetensors"}}, ensure_ascii=False).encode()
    assert names(open_checkpoint(Folder({"x.safetensors": ONE, INDEX: raw}).write(tmp_path))) == ["a"]


@pytest.mark.parametrize(
    ("files", "message", "hint"),
    [
        ({}, "has no safetensors file", "folder of a model"),
        ({"pytorch_model.bin": b"\x80\x04"}, "only pickled weights: 'pytorch_model.bin'", "pickle can run code"),
        ({"consolidated.00.pth": b"\x80\x04"}, "only pickled weights: 'consolidated.00.pth'", "safetensors or GGUF"),
        ({"weights.pkl": b"\x80\x04"}, "only pickled weights", "pickle can run code"),
        ({"x.safetensors": ONE, "y.safetensors": OTHER}, "several other candidates", ".safetensors file"),
        ({"x-00001-of-00003.safetensors": ONE, "x-00003-of-00003.safetensors": OTHER}, "several other candidates", ""),
        ({"x-00001-of-00002.safetensors": ONE, "y-00002-of-00002.safetensors": OTHER}, "several other candidates", ""),
        ({"x.gguf": Gguf().build(), "y.gguf": Gguf().build()}, "several GGUF models: 'x.gguf', 'y.gguf'", "the path"),
        ({"x-00002-of-00002.gguf": Gguf().build()}, "only later parts", "first part"),
    ],
)
def test_folders_without_one_clear_model(files: dict[str, bytes], message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(Folder(files).write(tmp_path))
    assert message in caught.value.message
    assert caught.value.hint is not None
    assert hint in caught.value.hint


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is empty"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["absent", "absent.gguf", "a\0b", "x" * 300])
def test_absent_paths(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist") as caught:
        open_checkpoint(tmp_path / name)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.onnx", "is of an unknown kind: .onnx"),
        ("model", "is of an unknown kind: it has no suffix"),
        ("model.bin", "may be a pickle"),
        ("model.pth", "may be a pickle"),
        ("model-00001-of-00002.safetensors", "is one of 2 files of a model"),
    ],
)
def test_files_of_other_kinds(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(ONE)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path / name)
    assert message in caught.value.message
    assert caught.value.hint


def test_one_safetensors_file_with_its_configuration_beside_it(tmp_path: Path) -> None:
    Folder({"model.safetensors": OTHER, "mine.safetensors": ONE}).write(tmp_path)
    assert names(open_checkpoint(tmp_path / "mine.safetensors")) == ["a"]
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        open_checkpoint(tmp_path / "mine.safetensors")


def test_a_folder_with_one_gguf_model(tmp_path: Path) -> None:
    Folder({"README.md": b"", "model.gguf": Gguf().build()}, config=None).write(tmp_path)
    assert open_checkpoint(tmp_path).naming is Naming.GGUF


def test_linked_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(ONE)
    folder = Folder({}).write(tmp_path / "snapshot")
    (folder / "model.safetensors").symlink_to(tmp_path / "blob")
    assert names(open_checkpoint(folder)) == ["a"]


def test_absent_names_are_typed_errors(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no tensor 'other'"):
        open_checkpoint(Folder().write(tmp_path)).read("other")


# --- writing --------------------------------------------------------------------------------------------------------


def lazy(**arrays: Any) -> list[LazyTensor]:
    return [LazyTensor.of(Tensor.from_array(name, np.asarray(array, np.float32))) for name, array in arrays.items()]


def test_one_file_when_it_fits(tmp_path: Path) -> None:
    save_folder(tmp_path / "new" / "model", {"model_type": "llama", "é": 1}, lazy(a=[1, 2], b=3))
    folder = tmp_path / "new" / "model"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    checkpoint = open_checkpoint(folder)
    assert checkpoint.config == {"model_type": "llama", "é": 1}
    np.testing.assert_array_equal(checkpoint.read("a").float32(), [1, 2])
    assert checkpoint.read("b").float32() == 3


@given(sizes=st.lists(st.integers(0, 12), max_size=8), limit=st.integers(1, 100))
@settings(max_examples=WRITTEN)
def test_shards_hold_everything_and_stay_within_the_limit(
    sizes: list[int], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    arrays = {f"t{number}": np.full(size, number) for number, size in enumerate(sizes)}
    save_folder(folder, {}, lazy(**arrays), max_shard_bytes=limit)
    files = sorted(folder.glob("*.safetensors"))
    for file in files:
        contents = load_file(file)
        assert sum(array.nbytes for array in contents.values()) <= limit or len(contents) == 1
    checkpoint = open_checkpoint(folder)
    assert checkpoint.tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(checkpoint.read(name).float32(), array)
    if len(files) > 1:
        written = json.loads((folder / INDEX).read_text())
        assert written["metadata"]["total_size"] == 4 * sum(sizes)
        assert [file.name for file in files] == [
            f"model-{number:05}-of-{len(files):05}.safetensors" for number in range(1, len(files) + 1)
        ]


@pytest.mark.parametrize("limit", [10**9, 20_000])
def test_transformers_reads_what_we_write(limit: int, tmp_path: Path) -> None:
    model = reference(CONFIGURATIONS["llama"])
    tensors = [LazyTensor.of(Tensor.from_array(name, value.numpy())) for name, value in model.state_dict().items()]
    save_folder(tmp_path, model.config.to_dict(), tensors, max_shard_bytes=limit)
    assert (tmp_path / INDEX).exists() == (limit < 10**9)
    found = type(model).from_pretrained(tmp_path)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=0)


def test_we_read_what_transformers_writes(tmp_path: Path) -> None:
    model = reference(CONFIGURATIONS["qwen2"])
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    checkpoint = open_checkpoint(tmp_path)
    assert isinstance(checkpoint, HuggingFaceCheckpoint)
    assert checkpoint.config["architectures"] == ["Qwen2ForCausalLM"]
    state = model.state_dict()
    assert set(checkpoint.tensors) == set(state) - {"lm_head.weight"}  # tied to the embedding
    for name in checkpoint.tensors:
        np.testing.assert_array_equal(checkpoint.read(name).float32(), state[name].numpy())


@pytest.mark.parametrize("name", ["model.safetensors", "old.safetensors", INDEX])
def test_old_weights_are_not_mixed_with_new_ones(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match="already holds weights"):
        save_folder(tmp_path, {}, lazy(a=[1]))


def test_a_name_twice_is_found_before_anything_is_written(tmp_path: Path) -> None:
    for limit in (1, 1000):
        with pytest.raises(CheckpointError, match="two tensors are called 'a'"):
            save_folder(tmp_path, {}, [*lazy(a=[1]), *lazy(a=[1])], max_shard_bytes=limit)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot make the folder"):
        save_folder(tmp_path / "model", {}, lazy(a=[1]))
    with pytest.raises(CheckpointError, match="cannot write"):
        write_gguf(tmp_path / "model" / "x.gguf", {}, [])
