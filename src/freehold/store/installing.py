"""Turning verified downloads into a model: blobs, links, and the manifest last. Interrupted anywhere, nothing shows."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from freehold.errors import DownloadError, StoreError
from freehold.files import sync_folder
from freehold.store.home import MANIFEST, Home
from freehold.store.manifest import Manifest
from freehold.store.names import ModelName
from freehold.store.selection import RemoteFile

_CHUNK = 4 << 20
_READ_ONLY = 0o444


@contextmanager
def exclusive(path: Path, busy: str | None) -> Iterator[None]:
    """Hold a lock file; released by the system even if the process is killed.

    Args:
        busy: the message when another process holds it; None waits for it instead.

    Raises:
        StoreError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if busy is None else 0)
    except Timeout as error:
        raise StoreError(busy or "", hint="wait for it to finish") from error
    try:
        yield
    finally:
        lock.release()


def verified_sha256(path: Path, expected: RemoteFile, advance: Callable[[int], None]) -> str:
    """Hash a completed download and compare it with what the hub announced.

    Raises:
        DownloadError: the content is not the announced one; the file is deleted.
    """
    sha256, git = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    git.update(b"blob %d\0" % expected.size)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            if expected.sha256 is None:
                git.update(chunk)
            advance(len(chunk))
    found, announced = sha256.hexdigest(), expected.sha256
    if announced is None:
        found, announced = git.hexdigest(), expected.git_id
    if announced is not None and found != announced:
        path.unlink()
        raise DownloadError(
            f"{expected.path} arrived damaged: its hash is {found}, the hub announced {announced}",
            hint="pull it again; if it happens twice, something between the hub and this machine changes files",
        )
    return sha256.hexdigest()


def install(home: Home, name: ModelName, manifest: Manifest, downloads: Mapping[str, Path]) -> Path:
    """Move downloads into the store and publish the model; returns its folder.

    Args:
        downloads: SHA-256 -> file, for those contents that are not among the blobs yet.

    Raises:
        StoreError: the home folder's file system has no hard links.
    """
    variant = home.variant(name, manifest.variant)
    folder = variant / manifest.revision
    with exclusive(home.lock("store"), busy=None):
        home.blobs.mkdir(parents=True, exist_ok=True)
        for sha256, path in downloads.items():
            _adopt(path, home.blobs / sha256)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        for file in manifest.files:
            (folder / file.name).parent.mkdir(exist_ok=True)
            _link(home.blobs / file.sha256, folder / file.name)
        sync_folder(folder)
        manifest.write(variant / MANIFEST)
        for other in variant.iterdir():
            if other.is_dir() and other != folder:
                shutil.rmtree(other)
        sweep_blobs(home)
    return folder


def sweep_blobs(home: Home) -> None:
    """Delete blobs that no model links to: the file system has counted the links for us. Call it under the lock."""
    if home.blobs.is_dir():
        for blob in home.blobs.iterdir():
            if blob.stat().st_nlink == 1:
                blob.unlink()


def _adopt(path: Path, blob: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.chmod(_READ_ONLY)
    path.replace(blob)


def _link(blob: Path, path: Path) -> None:
    try:
        os.link(blob, path)
    except OSError as error:
        raise StoreError(
            f"cannot link {path.name} into {path.parent}: {error.strerror}",
            hint="FREEHOLD_HOME must be on a file system with hard links",
        ) from error
