"""Writing files and folders so that a half-written one is never seen under its final name."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from freehold.errors import CheckpointError
from freehold.files import sync_folder


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which replaces `path` when the block ends and vanishes when it fails.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written to.
    """
    temporary = _beside(path)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(FileNotFoundError, NotADirectoryError):  # it has its final name, or was never made
            temporary.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, which is renamed to `path` when the block ends and removed when it fails.

    Raises:
        CheckpointError: `path` exists and is not an empty folder, or cannot be written to.
    """
    temporary = _beside(path)
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise CheckpointError(f"{path} already exists and is not an empty folder", hint="choose another folder")
        temporary.mkdir(parents=True)
        yield temporary
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path) -> Path:
    """A name in the same folder, so that renaming stays within one file system."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial")


def _cannot_write(path: Path, error: OSError) -> CheckpointError:
    hint = "free some disk space" if error.errno == errno.ENOSPC else "check that the folder exists and is writable"
    return CheckpointError(f"cannot write {path}: {error.strerror}", hint=hint)
