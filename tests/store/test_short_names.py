"""Short names of the catalogue: pulled from where they point, and found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold.errors import ModelNotFound, StoreError
from freehold.store import Home, list_models, pull, remove, resolve
from freehold.store.names import ModelName, model_name
from tests.support.hub import FakeHub, FakeRepository

GGUF = "Qwen/Qwen2.5-7B-Instruct-GGUF"


@pytest.fixture
def repositories(hub: FakeHub, safetensors_repository: FakeRepository) -> FakeHub:
    files = {
        "qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf": b"GGUF first",
        "qwen2.5-7b-instruct-q4_k_m-00002-of-00002.gguf": b"GGUF second",
        "qwen2.5-7b-instruct-q8_0.gguf": b"GGUF eight",
    }
    hub.repositories[GGUF] = FakeRepository(files, frozenset(files))
    hub.repositories["Qwen/Qwen2.5-7B-Instruct"] = safetensors_repository
    return hub


def test_short_name_is_pulled_and_found_by_every_spelling(repositories: FakeHub) -> None:
    model = pull("Qwen2.5:7B")
    assert model.name == "Qwen/Qwen2.5-7B-Instruct"
    for name in ("qwen2.5", "qwen2.5:7b", "QWEN2.5:latest", "Qwen/Qwen2.5-7B-Instruct"):
        assert resolve(name) == model.path


def test_tag_with_a_quantisation_picks_the_file_of_the_gguf_repository(repositories: FakeHub) -> None:
    model = pull("qwen2.5:7b-q4_k_m")
    assert model.name == f"{GGUF}:Q4_K_M"
    assert model.path.name == "qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf"
    assert len(repositories.files_seen()) == 2
    assert resolve("qwen2.5:7b-Q4_K_M") == model.path


def test_other_forms_that_are_here_are_named(repositories: FakeHub) -> None:
    pull("qwen2.5:7b-q8_0")
    with pytest.raises(ModelNotFound, match=r"no model or path 'qwen2\.5:7b'") as caught:
        resolve("qwen2.5:7b")
    assert caught.value.hint is not None
    assert f"did you mean {GGUF}:Q8_0? freehold pull qwen2.5:7b downloads it" in caught.value.hint


def test_removal_by_short_name(repositories: FakeHub) -> None:
    pull("qwen2.5:7b-q8_0")
    pull("qwen2.5:7b-q4_k_m")
    assert remove("qwen2.5:7b-q8_0") == [f"{GGUF}:Q8_0"]
    assert [model.name for model in list_models()] == [f"{GGUF}:Q4_K_M"]
    with pytest.raises(ModelNotFound):
        remove("qwen2.5:7b-q8_0")


def test_folder_of_that_name_is_used_until_the_model_is_pulled(
    repositories: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qwen2.5").mkdir()
    assert resolve("qwen2.5") == Path("qwen2.5")
    model = pull("qwen2.5")
    assert resolve("qwen2.5") == model.path
    assert resolve("./qwen2.5") == Path("qwen2.5")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("lama3.3", "'lama3.3' is not a model name", "did you mean llama3.3"),
        ("qwen2.5:8b", "qwen2.5 has no '8b' in the catalogue; it has 0.5b, 1.5b, 3b, 7b", "did you mean qwen2.5:"),
        ("qwen2.5:7b-q4km", "it has 7b, 7b-base, 7b-q2_k", "did you mean qwen2.5:7b-q4_k_m?"),
        ("deepseek-r1:7b", "deepseek-r1 has no '7b'", "did you mean deepseek-r1-distill:qwen-7b?"),
        ("llama3.3:", "llama3.3 has no ''", "freehold models llama3.3 lists them"),
        ("zzzzzzzzzz", "'zzzzzzzzzz' is not a model name", "freehold models lists the short names"),
        ("../../etc/passwd", "is not a model name", "looks like org/name"),
    ],
)
def test_unknown_short_names_get_the_nearest(home: Home, text: str, message: str, hint: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        model_name(text)
    assert hint in (caught.value.hint or "")


def test_name_that_is_not_pulled_says_how_to_get_it(home: Home) -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve("llama3.3")
    assert caught.value.hint == "freehold pull llama3.3 downloads it, freehold ls lists what is here"
    with pytest.raises(ModelNotFound) as caught:
        resolve("lama3.3")
    assert "did you mean llama3.3" in (caught.value.hint or "")


def test_names_on_the_hub_stay_what_they_are() -> None:
    assert model_name("hf:org/name:Q4_K_M") == ModelName("org", "name", "Q4_K_M")
