"""Finding, listing and removing models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from freehold.errors import DownloadError, ModelNotFound, StoreError
from freehold.store import Home, list_models, pull, remove, resolve
from freehold.store.home import MANIFEST
from freehold.store.names import ModelName
from tests.support.hub import FakeHub, FakeRepository


@pytest.fixture
def bundled(tmp_path: Path) -> Path:
    folder = tmp_path / "package" / "pebble"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Pebble\n")
    (folder / "model.safetensors").write_bytes(b"12345")
    return folder


def test_bundled_model(home: Home, bundled: Path) -> None:
    assert resolve("pebble") == bundled
    (model,) = list_models()
    assert (model.name, model.source, model.licence) == ("pebble", "bundled", "apache-2.0")
    assert model.size == sum(file.stat().st_size for file in bundled.iterdir())


def test_bundled_model_cannot_be_removed(home: Home, bundled: Path) -> None:
    with pytest.raises(StoreError, match="part of Freehold"):
        remove("pebble")
    assert bundled.is_dir()


def test_name_with_a_typing_error_gets_the_nearest_ones(
    home: Home, hub: FakeHub, gguf_repository: FakeRepository
) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    pull("org/tiny:Q4_K_M")
    with pytest.raises(ModelNotFound, match="no model or path 'pebbel'") as caught:
        resolve("pebbel")
    assert caught.value.hint is not None
    assert "did you mean pebble?" in caught.value.hint
    assert "freehold pull" in caught.value.hint
    with pytest.raises(ModelNotFound) as caught:
        resolve("org/tinny:Q4_K_M")
    assert caught.value.hint is not None
    assert "did you mean org/tiny:Q4_K_M?" in caught.value.hint
    assert "freehold pull org/tinny:Q4_K_M downloads it" in caught.value.hint


@pytest.mark.parametrize("name", ["", "a\0b", "hf:pebble", "hf:org/name", "x" * 5000, "../absent", "/absent/x.gguf"])
def test_what_is_nowhere_is_not_found(home: Home, name: str) -> None:
    with pytest.raises(ModelNotFound):
        resolve(name)


def test_folder_and_gguf_file(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    file = tmp_path / "models" / "mine.GGUF"
    file.write_bytes(b"GGUF")
    assert resolve("models/mine") == Path("models/mine")
    assert resolve("./models/mine.GGUF") == Path("models/mine.GGUF")
    assert resolve(str(file)) == file


def test_pulled_name_comes_before_a_folder_of_that_spelling(
    home: Home, hub: FakeHub, gguf_repository: FakeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "tiny").mkdir(parents=True)
    assert resolve("org/tiny") == Path("org/tiny")
    model = pull("org/tiny:Q8_0")
    assert resolve("org/tiny") == model.path
    assert resolve("./org/tiny") == Path("org/tiny")


def test_only_regular_files_are_opened(home: Home, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    with pytest.raises(ModelNotFound, match="neither"):
        resolve(str(pipe))


def test_damaged_manifest_is_listed_with_its_problem_and_can_be_removed(
    home: Home, hub: FakeHub, gguf_repository: FakeRepository
) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    pull("org/tiny:Q8_0")
    pull("org/tiny:Q4_K_M")
    (home.variant(ModelName("org", "tiny"), "Q8_0") / MANIFEST).write_text("{")
    problems = {model.name: model.problem for model in list_models()}
    assert problems["org/tiny:Q4_K_M"] is None
    assert "damaged" in (problems["org/tiny:Q8_0"] or "")
    with pytest.raises(StoreError, match="is damaged"):
        resolve("org/tiny:Q8_0")
    assert remove("org/tiny:q8_0") == ["org/tiny:Q8_0"]
    assert [model.name for model in list_models()] == ["org/tiny:Q4_K_M"]


def test_removal_takes_all_variants_and_leaves_no_folders(
    home: Home, hub: FakeHub, gguf_repository: FakeRepository
) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    pull("org/tiny:Q8_0")
    pull("org/tiny:Q4_K_M")
    assert remove("org/tiny") == ["org/tiny:Q4_K_M", "org/tiny:Q8_0"]
    assert list(home.models.iterdir()) == []
    assert list(home.blobs.iterdir()) == []
    with pytest.raises(ModelNotFound):
        remove("org/tiny")


def test_removal_takes_what_an_interrupted_pull_left(home: Home, hub: FakeHub, gguf_repository: FakeRepository) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    hub.cut_after = 1000
    with pytest.raises(DownloadError, match="503"):
        pull("org/tiny:Q8_0")
    assert remove("org/tiny") == []
    assert not any(path.is_file() for path in home.path.rglob("*") if path.suffix != ".lock")


@pytest.mark.parametrize("name", ["../../etc", "/etc", "org/..", "org", ".."])
def test_removal_never_leaves_the_home_folder(home: Home, name: str) -> None:
    with pytest.raises(StoreError, match="not a model name"):
        remove(name)


def test_home_must_be_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_HOME", "relative")
    with pytest.raises(StoreError, match="not an absolute path"):
        Home.from_environment()


def test_home_defaults_to_a_hidden_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FREEHOLD_HOME", raising=False)
    assert Home.from_environment().path == Path.home() / ".freehold"


def test_listing_creates_nothing(home: Home) -> None:
    list_models()
    assert not home.path.exists()
