"""GGUF files written and read, by us and by the `gguf` package; real vocabularies; split models."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.checkpoints import Checkpoint, LazyTensor, Naming, open_checkpoint, write_gguf
from freehold.checkpoints.gguf.metadata import Metadata
from freehold.errors import CheckpointError, UnsupportedTensorType
from freehold.tensors import BLOCK_FORMATS, READABLE_TYPES, Tensor, TensorInfo, TensorType
from tests.checkpoints.raw import WRITTEN, Gguf, pair, tensor, text
from tests.support.assets import asset
from tests.tensors.blocks import random_tensor

KINDS = sorted(READABLE_TYPES)

numbers = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(width=32, allow_nan=False),
)
same_kind_lists = st.one_of(
    st.lists(st.booleans()),
    st.lists(st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.floats(width=32, allow_nan=False)),
    st.lists(st.text(st.characters(codec="utf-8"))),
    st.lists(st.lists(st.integers(0, 99), min_size=1), min_size=1),
)
keys = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=30)
values = st.one_of(numbers, st.text(st.characters(codec="utf-8")), same_kind_lists)


def stored(kind: TensorType, name: str = "weight", rows: int = 3) -> Tensor:
    """A tensor of any type that we read."""
    if kind in (TensorType.F64, TensorType.F32, TensorType.F16, TensorType.BF16):
        width = BLOCK_FORMATS[kind].bytes
        floats = np.random.default_rng(1).standard_normal(rows * 5).astype(f"<f{width}" if width != 2 else "<f2")
        return Tensor(TensorInfo(name, (rows, 5), kind), floats.view(np.uint8))
    made = random_tensor(kind, (rows, 2, 256))
    return Tensor(TensorInfo(name, made.info.shape, kind), made.data)


def assert_same(checkpoint: Checkpoint, tensors: list[Tensor]) -> None:
    assert checkpoint.tensors == {tensor.info.name: tensor.info for tensor in tensors}
    for expected in tensors:
        found = checkpoint.read(expected.info.name)
        np.testing.assert_array_equal(found.data, expected.data)
        np.testing.assert_array_equal(found.float32(), expected.float32())
        assert not found.data.flags.writeable


@given(metadata=st.dictionaries(keys, values, max_size=8))
@settings(max_examples=WRITTEN)
def test_metadata_comes_back(metadata: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("metadata") / "model.gguf"
    write_gguf(path, metadata, [])
    found = open_checkpoint(path).config
    assert dict(found) == metadata
    assert [type(value) for value in found.values()] == [type(value) for value in metadata.values()]
    assert list(found) == list(metadata)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alignment", [None, 8, 64])
def test_tensors_come_back(kind: TensorType, alignment: int | None, tmp_path: Path) -> None:
    metadata = {} if alignment is None else {"general.alignment": alignment}
    tensors = [stored(kind, "a"), stored(kind, "b", 7), stored(TensorType.F32, "c", 1)]
    write_gguf(tmp_path / "model.gguf", metadata, [LazyTensor.of(each) for each in tensors])
    assert_same(open_checkpoint(tmp_path / "model.gguf"), tensors)


METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.rope.freq_base": 500000.0,
    "negative": -5,
    "large": 2**40,
    "very large": 2**64 - 1,
    "very negative": -(2**40),
    "flag": True,
    "tokens": ["a", "", "été", "\U0001f600"],
    "scores": [0.0, -1.5, 2.25],
    "types": [1, 2, 3],
    "large items": [0, 2**40],
    "flags": [True, False],
    "typed": np.array([1, 2, 3], np.uint16),
    "typed scalar": np.uint8(7),
    "double": np.float64(0.1),
}
TYPES = {
    "general.architecture": [GGUFValueType.STRING],
    "llama.block_count": [GGUFValueType.UINT32],
    "llama.rope.freq_base": [GGUFValueType.FLOAT32],
    "negative": [GGUFValueType.INT32],
    "large": [GGUFValueType.UINT64],
    "very large": [GGUFValueType.UINT64],
    "very negative": [GGUFValueType.INT64],
    "flag": [GGUFValueType.BOOL],
    "tokens": [GGUFValueType.ARRAY, GGUFValueType.STRING],
    "scores": [GGUFValueType.ARRAY, GGUFValueType.FLOAT32],
    "types": [GGUFValueType.ARRAY, GGUFValueType.INT32],
    "large items": [GGUFValueType.ARRAY, GGUFValueType.UINT64],
    "flags": [GGUFValueType.ARRAY, GGUFValueType.BOOL],
    "typed": [GGUFValueType.ARRAY, GGUFValueType.UINT16],
    "typed scalar": [GGUFValueType.UINT8],
    "double": [GGUFValueType.FLOAT64],
}


def test_the_package_reads_what_we_write(tmp_path: Path) -> None:
    tensors = [stored(kind, kind.value) for kind in KINDS]
    write_gguf(tmp_path / "model.gguf", METADATA, [LazyTensor.of(each) for each in tensors])
    reader = GGUFReader(tmp_path / "model.gguf")
    for key, value in METADATA.items():
        field = reader.fields[key]
        assert field.types == TYPES[key], key
        expected = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        assert field.contents() == expected
    assert len(reader.tensors) == len(tensors)
    for found, expected in zip(reader.tensors, tensors, strict=True):
        assert found.name == expected.info.name
        assert found.tensor_type == GGMLQuantizationType[expected.info.type.value]
        assert tuple(reversed(found.shape.tolist())) == expected.info.shape
        np.testing.assert_array_equal(found.data.reshape(-1).view(np.uint8), expected.data)


def test_we_read_what_the_package_writes(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_uint32("llama.block_count", 2)
    writer.add_float32("epsilon", 1e-5)
    writer.add_bool("flag", True)
    writer.add_int8("small", -3)
    writer.add_uint64("large", 2**50)
    writer.add_array("tokens", ["a", "b", "\u00e9"])
    writer.add_array("scores", [0.5, -1.0])
    tensors = [stored(kind, kind.value) for kind in KINDS if kind is not TensorType.F64]
    for each in tensors:
        rows = each.data.reshape(*each.info.shape[:-1], -1)
        writer.add_tensor(each.info.name, rows, raw_dtype=GGMLQuantizationType[each.info.type.value])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    checkpoint = open_checkpoint(tmp_path / "model.gguf")
    assert checkpoint.naming is Naming.GGUF
    assert dict(checkpoint.config) == {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "epsilon": float(np.float32(1e-5)),
        "flag": True,
        "small": -3,
        "large": 2**50,
        "tokens": ["a", "b", "\u00e9"],
        "scores": [0.5, -1.0],
    }
    assert_same(checkpoint, tensors)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("baichuan", 64000),
        ("bert-bge", 30522),
        ("deepseek-coder", 32256),
        ("deepseek-llm", 102400),
        ("gpt-2", 50257),
        ("llama-spm", 32000),
    ],
)
def test_real_vocabularies(name: str, tokens: int) -> None:
    checkpoint = open_checkpoint(asset(f"tokenizers/ggml-vocab/ggml-vocab-{name}.gguf"))
    assert dict(checkpoint.tensors) == {}
    assert len(checkpoint.config["tokenizer.ggml.tokens"]) == tokens
    assert len(checkpoint.config["tokenizer.ggml.token_type"]) == tokens


def test_a_real_vocabulary_reads_as_the_package_reads_it() -> None:
    path = asset("tokenizers/ggml-vocab/ggml-vocab-llama-spm.gguf")
    reader = GGUFReader(path)
    config = open_checkpoint(path).config
    assert set(config) == {key for key in reader.fields if not key.startswith("GGUF.")}
    for key, value in config.items():
        assert reader.fields[key].contents() == value, key


def test_metadata_is_decoded_once_and_only_when_asked_for(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf", {"tokens": ["a", "b"], "count": 2}, [])
    config = open_checkpoint(tmp_path / "model.gguf").config
    assert isinstance(config, Metadata)
    assert "tokens" in config
    assert len(config) == 2
    assert config["tokens"] is config["tokens"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        object(),
        b"bytes",
        {"a": 1},
        2**64,
        -(2**63) - 1,
        [1, "a"],
        [True, 1],
        [None],
        np.zeros((2, 2)),
        np.array(["a"]),
    ],
)
def test_values_without_a_type_are_refused(value: object, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'key'"):
        write_gguf(tmp_path / "model.gguf", {"key": value}, [])
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_float32_cannot_hold_become_doubles(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf", {"a": 1e300, "b": [1e300], "c": float("inf")}, [])
    assert dict(open_checkpoint(tmp_path / "model.gguf").config) == {"a": 1e300, "b": [1e300], "c": float("inf")}


@pytest.mark.parametrize("alignment", [0, 24, -8, True, "32", 2**20])
def test_odd_alignments_are_not_written(alignment: object, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="power of two"):
        write_gguf(tmp_path / "model.gguf", {"general.alignment": alignment}, [])


@pytest.mark.parametrize(
    "info",
    [
        TensorInfo("x", (), TensorType.F32),
        TensorInfo("x", (0, 3), TensorType.F32),
        TensorInfo("x", (1, 1, 1, 1, 1), TensorType.F32),
        TensorInfo("x", (2, 16), TensorType.Q8_0),
        TensorInfo("x", (2, 128), TensorType.Q4_K),
    ],
)
def test_shapes_that_gguf_cannot_hold_are_refused(info: TensorInfo, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be stored"):
        write_gguf(tmp_path / "model.gguf", {}, [LazyTensor(info, lambda: np.zeros(info.bytes, np.uint8))])


def test_types_that_gguf_does_not_have_are_refused(tmp_path: Path) -> None:
    info = TensorInfo("x", (2,), TensorType.F8_E4M3)
    with pytest.raises(UnsupportedTensorType, match="'x' is stored as F8_E4M3, which GGUF does not have"):
        write_gguf(tmp_path / "model.gguf", {}, [LazyTensor(info, lambda: np.zeros(2, np.uint8))])


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    twice = LazyTensor.of(stored(TensorType.F32))
    with pytest.raises(CheckpointError, match="two tensors are called 'weight'"):
        write_gguf(tmp_path / "model.gguf", {}, [twice, twice])


# --- split models ---------------------------------------------------------------------------------------------------


def u16(key: bytes, value: int) -> bytes:
    return pair(key, 2, struct.pack("<H", value))


def part(number: int, count: int, name: bytes, total: int = 3) -> Gguf:
    own = [
        u16(b"split.no", number),
        u16(b"split.count", count),
        pair(b"split.tensors.count", 5, struct.pack("<i", total)),
    ]
    return Gguf(pairs=own + ([text(b"general.architecture", b"llama")] if number == 0 else []), tensors=[tensor(name)])


def write_split(folder: Path, parts: list[Gguf]) -> Path:
    for number, content in enumerate(parts, start=1):
        (folder / f"m-{number:05}-of-{len(parts):05}.gguf").write_bytes(content.build())
    return folder / f"m-00001-of-{len(parts):05}.gguf"


def three_parts() -> list[Gguf]:
    return [part(number, 3, name) for number, name in enumerate((b"a", b"b", b"c"))]


def test_a_split_model_is_one_checkpoint(tmp_path: Path) -> None:
    first = write_split(tmp_path, three_parts())
    for path in (first, tmp_path):
        checkpoint = open_checkpoint(path)
        assert list(checkpoint.tensors) == ["a", "b", "c"]
        assert checkpoint.config["general.architecture"] == "llama"
        for name in "abc":
            np.testing.assert_array_equal(checkpoint.read(name).data, np.arange(32))


def test_split_models_written_by_the_package(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=2)
    for name in "abcde":
        writer.add_tensor(name, np.full((2, 3), ord(name), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    checkpoint = open_checkpoint(tmp_path / "m-00001-of-00003.gguf")
    assert sorted(checkpoint.tensors) == list("abcde")
    for name in "abcde":
        np.testing.assert_array_equal(checkpoint.read(name).float32(), np.full((2, 3), ord(name)))


def test_a_later_part_is_not_the_place_to_start(tmp_path: Path) -> None:
    write_split(tmp_path, three_parts())
    with pytest.raises(CheckpointError, match="part 2 of 3") as caught:
        open_checkpoint(tmp_path / "m-00002-of-00003.gguf")
    assert caught.value.hint == "open the first part, m-00001-of-00003.gguf"


def test_a_part_is_absent(tmp_path: Path) -> None:
    first = write_split(tmp_path, three_parts())
    (tmp_path / "m-00003-of-00003.gguf").unlink()
    with pytest.raises(CheckpointError, match=r"m-00003-of-00003\.gguf does not exist"):
        open_checkpoint(first)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([part(0, 2, b"a", 2), part(0, 2, b"b", 2)], "says that it is part 1 of 2; expected 2 of 2"),
        ([part(0, 2, b"a", 2), part(1, 3, b"b", 2)], "says that it is part 2 of 3; expected 2 of 2"),
        ([part(1, 2, b"a", 2), part(1, 2, b"b", 2)], "says that it is part 2 of 2; expected 1 of 2"),
        ([part(0, 3, b"a", 2), part(1, 3, b"b", 2)], "is a part of 3, but is not named like"),
        ([part(0, 2, b"a", 2), part(1, 2, b"a", 2)], "'a' is in both"),
        ([part(0, 2, b"a", 9), part(1, 2, b"b", 9)], "announces 9 tensors in all its parts, which hold 2"),
        ([part(0, 2, b"a", 2), Gguf(tensors=[tensor(b"b")])], "says that it is part 1 of 1; expected 2 of 2"),
        ([Gguf(pairs=[u16(b"split.count", 65535)])], "split.count is 65535; expected an integer from 0 to 1024"),
        ([Gguf(pairs=[text(b"split.count", b"2")])], "split.count is '2'"),
    ],
)
def test_parts_that_do_not_belong_together(parts: list[Gguf], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(write_split(tmp_path, parts))
    assert message in caught.value.message
    assert caught.value.hint
