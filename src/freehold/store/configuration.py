"""A repository's config.json alone: a few kilobytes that tell what a model would need."""

from __future__ import annotations

from pathlib import Path

from freehold.errors import StoreError
from freehold.store.hub import Hub
from freehold.store.installing import verified_sha256
from freehold.store.names import ModelName

CONFIG = "config.json"
LARGEST = 1 << 20


def fetch_configuration(name: ModelName, folder: Path, *, revision: str | None = None) -> Path:
    """Download config.json into a folder, and check its hash.

    Raises:
        ModelNotFound: the hub has no such model or revision.
        DownloadError: the hub or the network failed.
        StoreError: the repository has no config.json, or one that cannot be one.
    """
    hub = Hub()
    repository = hub.repository(name, revision)
    remote = next((file for file in repository.files if file.path == CONFIG), None)
    if remote is None:
        raise StoreError(
            f"{name.repository} has no {CONFIG}, so what it needs is not known before it is here",
            hint=f"freehold pull {name} downloads it",
        )
    if remote.size > LARGEST:
        raise StoreError(f"{CONFIG} of {name.repository} has {remote.size} bytes; at most {LARGEST} are read")
    path = folder / CONFIG
    hub.download(name, repository.revision, remote, path, lambda _: None)
    verified_sha256(path, remote, lambda _: None)
    return path
