"""The folder of packed weights is bounded, and clears up after itself."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

import freehold
from freehold.packed import folder as packed_folder
from freehold.packed.folder import kept, make_room, sweep
from freehold.packed.layout import header
from tests.support.tiny_folder import write_tiny_model


def put(folder: Path, name: str, size: int, used: float) -> Path:
    """A file of packed weights that come from no file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.packed"
    index = json.dumps({"sources": []}).encode()
    start = size - len(index)
    path.write_bytes(header(start, index).ljust(start, b"\0") + index)
    os.utime(path, (used, used))
    return path


def test_what_was_used_least_recently_goes_first(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(packed_folder.LIMIT_VARIABLE, str(300e-9))
    oldest, newest, middle = put(packed, "a", 100, 1), put(packed, "b", 100, 3), put(packed, "c", 90, 2)
    assert make_room(packed, 100) is None
    assert [one.path for one in kept(packed)] == [middle, newest]
    assert not oldest.exists()
    assert make_room(packed, 170) is None
    assert [one.path for one in kept(packed)] == [newest]


def test_what_is_larger_than_the_limit_evicts_nothing(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(packed_folder.LIMIT_VARIABLE, str(300e-9))
    put(packed, "a", 100, 1)
    problem = make_room(packed, 400)
    assert problem is not None
    assert packed_folder.LIMIT_VARIABLE in problem
    assert len(kept(packed)) == 1


def test_a_start_counts_as_use(packed: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    freehold.load(model).close()
    (one,) = kept(packed)
    os.utime(one.path, (1, 1))
    freehold.load(model).close()
    assert kept(packed)[0].used > 1


def test_what_a_killed_process_left_goes(packed: Path) -> None:
    packed.mkdir(parents=True)
    left, growing = packed / ".x.packed.0.partial", packed / ".y.packed.0.partial"
    for path in (left, growing):
        path.touch()
    long_ago = time.time() - 2 * packed_folder.ABANDONED_SECONDS
    os.utime(left, (long_ago, long_ago))
    assert make_room(packed, 1) is None
    assert not left.exists()
    assert growing.exists()


def test_sweeping_removes_what_belongs_to_no_model(packed: Path, tmp_path: Path) -> None:
    (stays, goes, changes) = models = [write_tiny_model(tmp_path / str(seed), seed=seed) for seed in range(3)]
    for model in models:
        freehold.load(model).close()
    damaged = put(packed, "damaged", 100, 1)
    damaged.write_bytes(bytes(100))
    assert len(kept(packed)) == 4
    (goes / "model.safetensors").unlink()
    os.utime(changes / "model.safetensors", (1, 1))
    sweep(packed)
    (left,) = kept(packed)
    freehold.load(stays).close()
    assert [one.path for one in kept(packed)] == [left.path]
