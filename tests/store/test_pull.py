"""Pulling from a hub: what is taken, what an interruption leaves, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from freehold.errors import DownloadError, ModelNotFound, StoreError
from freehold.store import Home, list_models, pull, remove, resolve
from freehold.store.home import MANIFEST
from freehold.store.installing import exclusive
from freehold.store.names import ModelName
from tests.store.conftest import WEIGHTS
from tests.support.hub import FakeHub, FakeRepository, running_hub

NAME = ModelName("org", "tiny")


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_safetensors_repository_gives_weights_configuration_and_tokenizer_only(
    hub: FakeHub, safetensors_repository: FakeRepository
) -> None:
    hub.repositories["org/tiny"] = safetensors_repository
    model = pull("hf:org/tiny")
    taken = {
        "config.json",
        "tokenizer.json",
        "README.md",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }
    assert content_of(model.path) == {name: safetensors_repository.files[name] for name in taken}
    assert (model.name, model.format, model.licence) == ("org/tiny", "safetensors", "apache-2.0")
    assert model.revision == safetensors_repository.revision
    assert model.size == sum(len(safetensors_repository.files[name]) for name in taken)
    assert resolve("org/tiny") == resolve("hf:org/tiny") == model.path


def test_manifest_locks_every_file_by_its_hash(
    hub: FakeHub, home: Home, safetensors_repository: FakeRepository
) -> None:
    hub.repositories["org/tiny"] = safetensors_repository
    model = pull("org/tiny")
    manifest = json.loads((home.variant(NAME, "safetensors") / MANIFEST).read_text())
    locked = {file["name"]: (file["size"], file["sha256"]) for file in manifest["files"]}
    assert locked == {
        name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in content_of(model.path).items()
    }
    assert {path.name for path in home.blobs.iterdir()} == {sha256 for _, sha256 in locked.values()}
    assert not home.downloads(NAME, "safetensors").exists()


def test_an_encoder_comes_with_what_says_how_its_rows_become_a_vector(hub: FakeHub) -> None:
    files = {name: name.encode() for name in ("config.json", "model.safetensors", "modules.json", "train/config.json")}
    files |= {"sentence_bert_config.json": b"{}", "1_Pooling/config.json": b"pooling", "2_Dense/model.safetensors": b""}
    hub.repositories["org/encoder"] = FakeRepository(files)
    model = pull("org/encoder")
    assert (model.path / "1_Pooling" / "config.json").read_bytes() == b"pooling"
    assert {str(path.relative_to(model.path)) for path in model.path.rglob("*") if path.is_file()} == {
        "config.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    }
    assert pull("org/encoder").revision == model.revision
    assert remove("org/encoder")
    assert not model.path.exists()


@pytest.mark.parametrize("tag", ["Q4_K_M", "q4_k_m", "tiny.Q4_K_M"])
def test_gguf_quantisation_picks_exactly_one_file(hub: FakeHub, gguf_repository: FakeRepository, tag: str) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    model = pull(f"org/tiny:{tag}")
    assert model.name == "org/tiny:Q4_K_M"
    assert model.path.name == "tiny.Q4_K_M.gguf"
    assert content_of(model.path.parent) == {"tiny.Q4_K_M.gguf": gguf_repository.files["tiny.Q4_K_M.gguf"]}
    assert resolve("org/tiny") == resolve("org/tiny:q4_k_m") == model.path


def test_split_gguf_is_pulled_whole_and_opened_at_its_first_part(hub: FakeHub, gguf_repository: FakeRepository) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    model = pull("org/tiny:F16")
    assert model.path.name == "tiny.F16-00001-of-00002.gguf"
    assert len(content_of(model.path.parent)) == 2


def test_ambiguous_gguf_lists_the_choices(hub: FakeHub, gguf_repository: FakeRepository) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    with pytest.raises(StoreError, match=r"3 GGUF files: F16, Q4_K_M, Q8_0") as caught:
        pull("org/tiny")
    assert caught.value.hint is not None
    assert "freehold pull org/tiny:Q4_K_M" in caught.value.hint


def test_absent_quantisation_names_the_nearest(hub: FakeHub, gguf_repository: FakeRepository) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    with pytest.raises(StoreError, match="has no Q4_K_S; it has F16, Q4_K_M, Q8_0") as caught:
        pull("org/tiny:Q4_K_S")
    assert caught.value.hint == "did you mean org/tiny:Q4_K_M?"


def test_pulled_variants_must_be_told_apart(hub: FakeHub, gguf_repository: FakeRepository) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    pull("org/tiny:Q4_K_M")
    pull("org/tiny:Q8_0")
    with pytest.raises(StoreError, match="was pulled as Q4_K_M, Q8_0"):
        resolve("org/tiny")


def test_interrupted_pull_continues_where_it_stopped(hub: FakeHub, home: Home, gguf_repository: FakeRepository) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    hub.cut_after = 70_000
    with pytest.raises(DownloadError, match="503") as caught:
        pull("org/tiny:Q4_K_M")
    assert caught.value.hint is not None
    assert "continued" in caught.value.hint
    assert list_models() == []
    with pytest.raises(ModelNotFound):
        resolve("org/tiny:Q4_K_M")
    partial = next(home.downloads(NAME, "Q4_K_M").iterdir())
    assert partial.stat().st_size == 70_000

    hub.cut_after, hub.broken = None, False
    hub.seen.clear()
    model = pull("org/tiny:Q4_K_M")
    assert hub.ranges() == ["bytes=70000-"]
    assert model.path.read_bytes() == gguf_repository.files["tiny.Q4_K_M.gguf"]


def test_key_press_that_interrupts_a_pull_keeps_what_arrived(hub: FakeHub, home: Home) -> None:
    size = 25 << 20
    hub.repositories["org/tiny"] = FakeRepository({"tiny.Q8_0.gguf": bytes(size)}, frozenset({"tiny.Q8_0.gguf"}))

    def press_control_c(_: str, done: int, total: int) -> None:
        assert total == size
        if done > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("org/tiny", progress=press_control_c)
    assert list_models() == []
    pull("org/tiny")
    assert [model.name for model in list_models()] == ["org/tiny:Q8_0"]


def test_progress_ends_at_the_total(hub: FakeHub, safetensors_repository: FakeRepository) -> None:
    hub.repositories["org/tiny"] = safetensors_repository
    reports: list[tuple[str, int, int]] = []
    model = pull("org/tiny", progress=lambda *report: reports.append(report))
    stages = [stage for stage, _, _ in reports]
    assert set(stages) == {"pulling org/tiny", "checking hashes"}
    for stage in set(stages):
        last = next(report for report in reversed(reports) if report[0] == stage)
        assert last[1] == last[2] == model.size


def test_content_that_is_not_as_announced_is_refused(hub: FakeHub, home: Home) -> None:
    repository = FakeRepository({"tiny.Q8_0.gguf": WEIGHTS}, frozenset({"tiny.Q8_0.gguf"}))
    repository.announced["tiny.Q8_0.gguf"] = WEIGHTS[::-1]
    hub.repositories["org/tiny"] = repository
    with pytest.raises(DownloadError, match=r"tiny\.Q8_0\.gguf arrived damaged"):
        pull("org/tiny")
    assert list_models() == []
    assert list(home.downloads(NAME, "Q8_0").iterdir()) == []


def test_small_files_are_checked_by_their_git_hash(hub: FakeHub, safetensors_repository: FakeRepository) -> None:
    safetensors_repository.announced["config.json"] = b'{"model_type": "qwen2"}'
    hub.repositories["org/tiny"] = safetensors_repository
    with pytest.raises(DownloadError, match=r"config\.json arrived damaged"):
        pull("org/tiny")
    assert list_models() == []


def test_second_pull_of_the_same_revision_downloads_nothing(hub: FakeHub, gguf_repository: FakeRepository) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    pull("org/tiny:Q8_0")
    hub.seen.clear()
    pull("org/tiny:Q8_0")
    assert hub.files_seen() == []


def test_new_revision_replaces_the_old_one_and_its_content(hub: FakeHub, home: Home) -> None:
    hub.repositories["org/tiny"] = FakeRepository({"tiny.Q8_0.gguf": b"old"}, frozenset({"tiny.Q8_0.gguf"}))
    old = pull("org/tiny")
    hub.repositories["org/tiny"] = FakeRepository({"tiny.Q8_0.gguf": b"new"}, frozenset({"tiny.Q8_0.gguf"}))
    new = pull("org/tiny")
    assert new.path.read_bytes() == b"new"
    assert not old.path.exists()
    assert len(list(home.blobs.iterdir())) == 1


def test_revision_can_be_chosen_and_an_unknown_one_is_named(hub: FakeHub, gguf_repository: FakeRepository) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    assert pull("org/tiny:Q8_0", revision=gguf_repository.revision).revision == gguf_repository.revision
    with pytest.raises(ModelNotFound, match="no revision 'v2'"):
        pull("org/tiny:Q8_0", revision="v2")


def test_damaged_model_is_reported_and_repaired_by_pulling(hub: FakeHub, gguf_repository: FakeRepository) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    model = pull("org/tiny:Q8_0")
    model.path.unlink()
    assert [stored.problem for stored in list_models()] == ["tiny.Q8_0.gguf is missing"]
    with pytest.raises(StoreError, match=r"damaged: tiny\.Q8_0\.gguf is missing"):
        resolve("org/tiny")
    pull("org/tiny:Q8_0")
    assert resolve("org/tiny").is_file()


def test_content_shared_by_two_models_is_fetched_and_kept_once(hub: FakeHub, home: Home) -> None:
    for name in ("org/first", "org/second"):
        hub.repositories[name] = FakeRepository({"tiny.Q8_0.gguf": WEIGHTS}, frozenset({"tiny.Q8_0.gguf"}))
    pull("org/first")
    hub.seen.clear()
    pull("org/second")
    assert hub.files_seen() == []
    assert len(list(home.blobs.iterdir())) == 1
    remove("org/first")
    assert resolve("org/second").read_bytes() == WEIGHTS
    remove("org/second")
    assert list(home.blobs.iterdir()) == []


def test_absent_repository(hub: FakeHub) -> None:
    with pytest.raises(ModelNotFound, match="has no model org/tiny, or it is private"):
        pull("org/tiny")


def test_gated_repository_says_where_to_accept(hub: FakeHub, gguf_repository: FakeRepository) -> None:
    gguf_repository.gated = True
    hub.repositories["org/tiny"] = gguf_repository
    with pytest.raises(DownloadError, match="org/tiny is gated") as caught:
        pull("org/tiny:Q8_0")
    assert caught.value.hint is not None
    assert f"{hub.url}/org/tiny" in caught.value.hint


def test_token_opens_a_private_repository_and_stays_with_the_hub(
    hub: FakeHub, gguf_repository: FakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf_repository.token = "secret"
    hub.repositories["org/tiny"] = gguf_repository
    with pytest.raises(ModelNotFound):
        pull("org/tiny:Q8_0")
    monkeypatch.setenv("HF_TOKEN", "secret")
    open_copy = FakeRepository(gguf_repository.files, gguf_repository.large)
    with running_hub({"org/tiny": open_copy}) as storage:
        hub.storage = storage.url
        pull("org/tiny:Q8_0")
        assert [request.headers["Authorization"] for request in storage.seen] == [None]
    assert resolve("org/tiny").is_file()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, r"can run code when opened, such as pytorch_model\.bin"),
        ({"README.md": b"x"}, "neither safetensors nor GGUF"),
        ({"model.safetensors": b"x"}, r"lacks config\.json"),
        ({"config.json": b"{}", "model.safetensors.index.json": b"{}"}, "is not a weight index"),
        (
            {"config.json": b"{}", "model.safetensors.index.json": b'{"weight_map": {"a": "../x.safetensors"}}'},
            r"names '\.\./x\.safetensors'",
        ),
        (
            {"config.json": b"{}", "model.safetensors.index.json": b'{"weight_map": {"a": "b.safetensors"}}'},
            r"lacks b\.safetensors",
        ),
        ({"a-00001-of-00002.gguf": b"x"}, "neither safetensors nor GGUF"),
    ],
)
def test_repositories_that_hold_no_usable_model(hub: FakeHub, files: dict[str, bytes], message: str) -> None:
    hub.repositories["org/tiny"] = FakeRepository(files)
    with pytest.raises(StoreError, match=message):
        pull("org/tiny")
    assert list_models() == []


@pytest.mark.parametrize(
    "answer",
    [
        b"[]",
        b"not json",
        b'{"id": "org/tiny"}',
        b'{"id": "org/tiny", "sha": "../../x", "siblings": []}',
        b'{"id": "org/tiny", "sha": "' + b"a" * 40 + b'", "siblings": [{"rfilename": "a.gguf"}]}',
        b'{"id": "org/tiny", "sha": "' + b"a" * 40 + b'", "siblings": [{"rfilename": "a.gguf", "size": 1, '
        b'"lfs": {"sha256": "../../../x", "size": 1, "pointerSize": 1}}]}',
    ],
)
def test_answers_that_are_not_a_hubs_are_refused(
    hub: FakeHub, home: Home, gguf_repository: FakeRepository, answer: bytes
) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    hub.answer = answer
    with pytest.raises(DownloadError):
        pull("org/tiny:Q8_0")
    assert not home.models.exists()


def test_nobody_listening(monkeypatch: pytest.MonkeyPatch, hub: FakeHub) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"from http://127\.0\.0\.1:9 failed"):
        pull("org/tiny")


def test_offline_switch_is_respected(monkeypatch: pytest.MonkeyPatch, hub: FakeHub) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
        pull("org/tiny")
    assert hub.seen == []


def test_model_larger_than_the_disk_is_refused_before_the_download(
    hub: FakeHub, gguf_repository: FakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    monkeypatch.setattr("freehold.store.pulling._RESERVE", 1 << 60)
    with pytest.raises(StoreError, match="GB free"):
        pull("org/tiny:Q8_0")
    assert hub.files_seen() == []


def test_two_pulls_of_one_model_do_not_meet(hub: FakeHub, home: Home, gguf_repository: FakeRepository) -> None:
    hub.repositories["org/tiny"] = gguf_repository
    with (
        exclusive(home.lock("org--tiny"), busy="taken"),
        pytest.raises(StoreError, match="org/tiny is being pulled by another process"),
    ):
        pull("org/tiny:Q8_0")
