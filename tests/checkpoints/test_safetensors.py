"""Safetensors files written and read, by us and by the safetensors library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch_file

from freehold.checkpoints import LazyTensor, SafetensorsFile, write_safetensors
from freehold.errors import CheckpointError, UnsupportedTensorType
from freehold.tensors import ASSEMBLED_TYPES, BLOCK_FORMATS, QUANTISED_TYPES, Tensor, TensorInfo, TensorType
from tests.checkpoints.raw import WRITTEN
from tests.tensors.blocks import random_tensor

Array = npt.NDArray[np.float32] | npt.NDArray[np.float16]

WIDTHS = {TensorType.F32: np.float32, TensorType.F16: np.float16}
names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)
contents = st.dictionaries(
    names.filter(lambda name: name != "__metadata__"),
    arrays.arrays(st.sampled_from([np.float32, np.float16]), arrays.array_shapes(min_dims=0, max_dims=4, min_side=0)),
    max_size=6,
)


def write(path: Path, tensors: dict[str, Array]) -> None:
    write_safetensors(path, [LazyTensor.of(Tensor.from_array(name, array)) for name, array in tensors.items()])


@given(tensors=contents)
@settings(max_examples=WRITTEN)
def test_what_we_write_comes_back(tensors: dict[str, Array], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("round") / "x.safetensors"
    write(path, tensors)
    file = SafetensorsFile(path)
    assert file.tensors.keys() == tensors.keys()
    for name, array in tensors.items():
        found = file.read(name)
        assert found.info.shape == array.shape
        assert found.data.tobytes() == array.tobytes()
        assert not found.data.flags.writeable


@given(tensors=contents.filter(bool))
@settings(max_examples=WRITTEN)
def test_the_library_reads_what_we_write(tensors: dict[str, Array], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("library") / "x.safetensors"
    write(path, tensors)
    found = load_file(path)
    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@given(tensors=contents.filter(bool))
@settings(max_examples=WRITTEN)
def test_we_read_what_the_library_writes(tensors: dict[str, Array], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("library") / "x.safetensors"
    save_file(tensors, path, metadata={"any": 'thing, "quoted"'})
    file = SafetensorsFile(path)
    for name, array in tensors.items():
        np.testing.assert_array_equal(file.read(name).float32(), array.astype(np.float32))


def test_bfloat16_and_float64_against_torch(tmp_path: Path) -> None:
    values = torch.randn(5, 7, dtype=torch.float64)
    narrow = values.to(torch.bfloat16)
    infos = [TensorInfo("b", (5, 7), TensorType.BF16), TensorInfo("d", (5, 7), TensorType.F64)]
    data = [narrow.view(torch.uint8).numpy().reshape(-1), values.view(torch.uint8).numpy().reshape(-1)]
    path = tmp_path / "x.safetensors"
    write_safetensors(path, [LazyTensor.of(Tensor(info, raw)) for info, raw in zip(infos, data, strict=True)])
    found = load_torch_file(path)
    torch.testing.assert_close(found["b"], narrow, rtol=0, atol=0)
    torch.testing.assert_close(found["d"], values, rtol=0, atol=0)
    file = SafetensorsFile(path)
    np.testing.assert_array_equal(file.read("b").float32(), narrow.float().numpy())
    np.testing.assert_array_equal(file.read("d").float32(), values.float().numpy())


def test_the_metadata_that_transformers_asks_for(tmp_path: Path) -> None:
    write(tmp_path / "x.safetensors", {"a": np.zeros(3, np.float32)})
    with safe_open(tmp_path / "x.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("kind", sorted(set(TensorType) - QUANTISED_TYPES - ASSEMBLED_TYPES))
def test_every_type_is_aligned_to_its_own_width(kind: TensorType, tmp_path: Path) -> None:
    block = BLOCK_FORMATS[kind]
    infos = [TensorInfo("narrow", (3,), TensorType.U8), TensorInfo("it", (block.elements * 3,), kind)]
    tensors = [LazyTensor(info, lambda info=info: np.ones(info.bytes, np.uint8)) for info in infos]  # type: ignore[misc]
    path = tmp_path / "x.safetensors"
    write_safetensors(path, tensors)
    assert SafetensorsFile(path).tensors == {info.name: info for info in infos}
    with safe_open(path, "np") as file:
        assert file.get_slice("it").get_dtype() == kind
        assert file.get_slice("it").get_shape() == [block.elements * 3]


@pytest.mark.parametrize("kind", sorted(QUANTISED_TYPES | ASSEMBLED_TYPES))
def test_block_formats_are_refused_before_anything_is_written(kind: TensorType, tmp_path: Path) -> None:
    tensor = LazyTensor.of(random_tensor(kind, (2, 256)))
    with pytest.raises(UnsupportedTensorType, match=f"'random' is stored as {kind}, for which safetensors has no"):
        write_safetensors(tmp_path / "x.safetensors", [tensor])
    assert list(tmp_path.iterdir()) == []


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    tensor = LazyTensor.of(Tensor.from_array("a", np.zeros(3, np.float32)))
    with pytest.raises(CheckpointError, match="two tensors are called 'a'"):
        write_safetensors(tmp_path / "x.safetensors", [tensor, tensor])
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_do_not_match_what_was_announced(tmp_path: Path) -> None:
    tensor = LazyTensor(TensorInfo("a", (3,), TensorType.F32), lambda: np.zeros(11, np.uint8))
    with pytest.raises(ValueError, match="'a' gave 11 values of uint8; expected 12"):
        write_safetensors(tmp_path / "x.safetensors", [tensor])
    assert list(tmp_path.iterdir()) == []


def test_one_tensor_at_a_time(tmp_path: Path) -> None:
    alive: list[str] = []

    def load(name: str) -> npt.NDArray[np.uint8]:
        alive.append(name)
        return np.zeros(12, np.uint8)

    infos = [TensorInfo(name, (3,), TensorType.F32) for name in "abc"]
    tensors = [LazyTensor(info, lambda info=info: load(info.name)) for info in infos]  # type: ignore[misc]
    assert alive == []
    write_safetensors(tmp_path / "x.safetensors", tensors)
    assert alive == ["a", "b", "c"]
