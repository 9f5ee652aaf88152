"""The manifest of a pulled model: a round trip, and every way it can be damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from freehold.errors import StoreError
from freehold.store.manifest import LockedFile, Manifest

MANIFEST = Manifest(
    name="org/tiny",
    variant="Q8_0",
    entry="tiny.Q8_0.gguf",
    endpoint="https://hub.example",
    revision="a" * 40,
    licence=None,
    pulled="2026-01-02T03:04:05+00:00",
    files=(LockedFile("tiny.Q8_0.gguf", 12, "b" * 64), LockedFile("README.md", 0, "c" * 64)),
)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    MANIFEST.write(path)
    assert Manifest.read(path) == MANIFEST
    assert MANIFEST.size == 12
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 2}, "schema is not 1"),
        ({"name": 3}, "name is not a text"),
        ({"entry": None}, "entry is not a text"),
        ({"entry": "other.gguf"}, "is not among its files"),
        ({"licence": 1}, "licence is not a text"),
        ({"revision": "../../x"}, "not a commit"),
        ({"pulled": "yesterday"}, "not a date"),
        ({"files": []}, "lists no files"),
        ({"files": {}}, "lists no files"),
        ({"files": [{"name": "a"}]}, "not name, size and sha256"),
        ({"files": [{"name": "../a", "size": 1, "sha256": "b" * 64}]}, "'../a' is not a file name"),
        ({"files": [{"name": "/a", "size": 1, "sha256": "b" * 64}]}, "'/a' is not a file name"),
        ({"files": [{"name": "a/../b", "size": 1, "sha256": "b" * 64}]}, "'a/../b' is not a file name"),
        ({"files": [{"name": "a/b/c", "size": 1, "sha256": "b" * 64}]}, "'a/b/c' is not a file name"),
        ({"files": [{"name": "a/..", "size": 1, "sha256": "b" * 64}]}, "'a/..' is not a file name"),
        ({"files": [{"name": "a", "size": -1, "sha256": "b" * 64}]}, "the size of a is -1"),
        ({"files": [{"name": "a", "size": True, "sha256": "b" * 64}]}, "the size of a is True"),
        ({"files": [{"name": "a", "size": 1, "sha256": "../b"}]}, "not a SHA-256"),
    ],
)
def test_damaged_values_are_named(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = tmp_path / "manifest.json"
    MANIFEST.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StoreError, match="is damaged") as caught:
        Manifest.read(path)
    assert reason in caught.value.message
    assert caught.value.hint is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"7"])
def test_what_is_not_a_manifest_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        Manifest.read(path)


def test_absent_manifest(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is damaged"):
        Manifest.read(tmp_path / "manifest.json")
