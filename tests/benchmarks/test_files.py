"""Model files with random weights: our reader takes them, and they are mixed as llama.cpp mixes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freehold
from benchmarks.support.blocks import DEVIATION, BlockPool
from benchmarks.support.files import FileType, described, model_file
from benchmarks.support.shapes import SHAPES
from benchmarks.support.sides import Side
from benchmarks.support.trained import QUANTISER
from freehold.checkpoints import open_checkpoint, write_gguf
from freehold.checkpoints.base import LazyTensor
from freehold.errors import CheckpointError
from freehold.models.describe import to_gguf
from freehold.tensors import Tensor, TensorInfo, TensorType

# What the published models count.
PARAMETERS = {"0.5b": 494_032_768, "1.2b": 1_235_814_400, "3b": 3_212_749_824}

# As many layers as the first and last eighth need, rows that fill blocks of 256 and rows that do not.
SMALL: dict[str, Any] = {**SHAPES["tiny"], "num_hidden_layers": 9, "intermediate_size": 160, "vocab_size": 64}


@pytest.mark.parametrize("shape", PARAMETERS)
def test_shapes_have_the_published_size(shape: str) -> None:
    _, infos = described(SHAPES[shape], FileType.Q4_0)
    assert sum(info.elements for info in infos) == PARAMETERS[shape]


@pytest.mark.parametrize(
    "kind", [TensorType.Q4_0, TensorType.Q5_0, TensorType.Q8_0, TensorType.Q4_K, TensorType.Q6_K, TensorType.F16]
)
def test_random_blocks_hold_values_as_large_as_those_of_trained_models(kind: TensorType) -> None:
    info = TensorInfo("w", (512, 1024), kind)
    values = Tensor(info, BlockPool().bytes_of(info)).float32()
    assert 0.8 * DEVIATION < values.std() < 1.25 * DEVIATION
    assert abs(values.mean()) < 0.15 * DEVIATION
    assert np.abs(values).max() < 12 * DEVIATION


def test_types_without_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="no random blocks of Q5_1"):
        BlockPool().bytes_of(TensorInfo("w", (1, 32), TensorType.Q5_1))


@pytest.mark.parametrize("kind", FileType)
def test_a_file_is_written_once_and_runs(kind: FileType, tmp_path: Path) -> None:
    path = model_file(tmp_path, "tiny", kind)
    written = path.stat().st_mtime_ns
    assert model_file(tmp_path, "tiny", kind).stat().st_mtime_ns == written
    with freehold.load(path) as model:
        (logits,) = model.logits([[1, 2, 3]])
    assert np.isfinite(logits).all()
    assert logits.std() > 0


def test_a_disk_without_room_is_said_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1})())
    with pytest.raises(CheckpointError, match=r"takes 0\.0 GB"):
        model_file(tmp_path, "tiny", FileType.Q4_0)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def quantiser() -> Iterator[Side]:
    python = os.environ.get("FREEHOLD_LLAMA_PYTHON")
    if not python:
        pytest.skip("FREEHOLD_LLAMA_PYTHON names no Python that has llama-cpp-python")
    with Side("llama.cpp", [python, str(QUANTISER)]) as started:
        yield started


@pytest.mark.parametrize("experts", [False, True], ids=["dense", "experts"])
@pytest.mark.parametrize("kind", FileType)
def test_types_are_mixed_as_in_llama_cpp(quantiser: Side, kind: FileType, experts: bool, tmp_path: Path) -> None:
    shape: dict[str, Any] = dict(SMALL)
    if experts:
        shape = {**SHAPES["moe"], "num_hidden_layers": 9, "hidden_size": 256, "num_experts": 4, "vocab_size": 64}
        shape |= {"num_experts_per_tok": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    _, infos = described(shape, FileType.F16)
    source, target = tmp_path / "source.gguf", tmp_path / "target.gguf"
    _write_floats(source, shape, infos)
    assert quantiser.ask(quantise=str(source), to=str(target), type=kind.number)["done"]
    found = {name: info.type for name, info in open_checkpoint(target).tensors.items()}
    assert {info.name: info.type for info in described(shape, kind)[1]} == found


def _write_floats(path: Path, shape: dict[str, Any], infos: list[TensorInfo]) -> None:
    """A file in F16, as llama.cpp's converter writes it."""
    config, _ = described(shape, FileType.F16)
    pool = BlockPool()
    tensors = [LazyTensor(info, partial(pool.bytes_of, info)) for info in infos]
    write_gguf(path, {**to_gguf(config, "small"), "tokenizer.ggml.model": "no_vocab"}, tensors)
