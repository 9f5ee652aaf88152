"""A home folder and a hub of one's own for every test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.store import Home
from tests.support.hub import FakeHub, FakeRepository, running_hub

WEIGHTS = bytes(range(256)) * 512


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("FREEHOLD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("freehold.store.models.bundled_path", lambda name: tmp_path / "package" / name)
    return Home.from_environment()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, home: Home, tmp_path: Path) -> Iterator[FakeHub]:
    for variable in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr("freehold.store.hub.time.sleep", lambda _: None)
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def safetensors_repository() -> FakeRepository:
    """Two shards, a tokenizer, and beside them what must not be taken."""
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    files = {
        "config.json": b'{"model_type": "llama"}',
        "tokenizer.json": b"{}",
        "model.safetensors.index.json": json.dumps(index).encode(),
        "model-00001-of-00002.safetensors": WEIGHTS,
        "model-00002-of-00002.safetensors": WEIGHTS[::-1],
        "consolidated.safetensors": WEIGHTS + b"again",
        "pytorch_model.bin": b"pickle",
        "modeling.py": b"import os",
        "README.md": b"---\nlicense: apache-2.0\n---\n",
        "onnx/model.onnx": b"onnx",
    }
    return FakeRepository(files, large=frozenset(name for name in files if name.endswith("safetensors")))


@pytest.fixture
def gguf_repository() -> FakeRepository:
    """Three quantisations, one of them split in two, and a projector that is no model."""
    files = {
        "tiny.Q4_K_M.gguf": b"GGUF four" + WEIGHTS,
        "tiny.Q8_0.gguf": b"GGUF eight" + WEIGHTS,
        "F16/tiny.F16-00001-of-00002.gguf": b"GGUF first" + WEIGHTS,
        "F16/tiny.F16-00002-of-00002.gguf": b"GGUF second" + WEIGHTS,
        "mmproj-tiny-Q8_0.gguf": b"GGUF projector",
        "README.md": b"card",
    }
    return FakeRepository(files, large=frozenset(name for name in files if name.endswith(".gguf")))
