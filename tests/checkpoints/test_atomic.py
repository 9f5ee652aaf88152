"""A file or folder appears whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from freehold.checkpoints import atomic_file, atomic_folder
from freehold.errors import CheckpointError


class Interrupted(BaseException):
    """Stands for the user's Ctrl-C, which is not an Exception either."""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_replaces_the_old_one_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with atomic_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert contents(tmp_path) == {"x": b"new"}


def test_a_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with atomic_file(tmp_path / "ours") as file:
        file.write(b"")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("error", [ValueError, Interrupted])
def test_nothing_is_left_when_writing_a_file_fails(error: type[BaseException], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")

    def fail() -> None:
        with atomic_file(tmp_path / "x") as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert contents(tmp_path) == {"x": b"old"}


def test_a_full_disk_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left") as caught, atomic_file(tmp_path / "x"):
        pass
    assert caught.value.hint == "free some disk space"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot write"), atomic_file(tmp_path / "absent" / "x"):
        pass


def test_a_folder_appears_at_the_end(tmp_path: Path) -> None:
    for target in (tmp_path / "new", tmp_path / "deep" / "new", tmp_path / "empty"):
        if target.name == "empty":
            target.mkdir()
        with atomic_folder(target) as folder:
            (folder / "a").write_bytes(b"1")
            assert not (target / "a").exists()
        assert contents(target) == {"a": b"1"}
        assert [path.name for path in target.parent.iterdir() if path.name.endswith(".partial")] == []


@pytest.mark.parametrize("error", [ValueError, Interrupted])
def test_nothing_is_left_when_filling_a_folder_fails(error: type[BaseException], tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "new") as folder:
            (folder / "a").write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    for target in (tmp_path, tmp_path / "a"):
        with pytest.raises(CheckpointError, match="already exists"), atomic_folder(target):
            pass
    assert contents(tmp_path) == {"a": b"mine"}
