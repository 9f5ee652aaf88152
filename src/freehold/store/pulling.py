"""Pulling a model from the hub: choose its files, fetch what is missing, check the hashes, install."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from freehold.errors import StoreError
from freehold.store.home import MANIFEST, Home
from freehold.store.hub import Hub, Repository
from freehold.store.installing import exclusive, install, verified_sha256
from freehold.store.manifest import LockedFile, Manifest
from freehold.store.models import StoredModel, complete, stored_model
from freehold.store.names import ModelName, model_name
from freehold.store.progress import Progress, silent
from freehold.store.selection import (
    INDEX,
    SAFETENSORS,
    RemoteFile,
    Selection,
    has_index,
    holds_safetensors,
    select_gguf,
    select_safetensors,
)

_RESERVE = 64 << 20


def pull(
    name: str, *, revision: str | None = None, progress: Progress = silent, home: Home | None = None
) -> StoredModel:
    """Download a model, or continue an interrupted download, and add it to the store.

    Args:
        name: `org/name`, `hf:org/name`, `org/name:Q4_K_M` for one file of a GGUF repository, or a short name of the
            catalogue.
        revision: a branch, tag or commit; None takes the main branch.
        progress: told what is being done, and how far it is in bytes.

    Raises:
        ModelNotFound: the hub has no such model or revision.
        DownloadError: the hub or the network failed; a later call continues.
        StoreError: the name, the repository's files or the disk do not allow it.
    """
    home = home or Home.from_environment()
    wanted = model_name(name)
    hub = Hub()
    repository = hub.repository(wanted, revision)
    transfer = _Transfer(hub, home, wanted, repository, progress)
    lock = home.lock(f"{wanted.organisation}--{wanted.name}")
    with exclusive(lock, busy=f"{wanted.repository} is being pulled by another process"):
        selection = transfer.select()
        if not _is_current(home.variant(wanted, selection.variant), repository, selection):
            transfer.fetch(selection)
        finished = home.downloads(wanted, selection.variant)
        if finished.is_dir():
            shutil.rmtree(finished)
    return stored_model(home, wanted, selection.variant)


class _Transfer:
    """One pull under way."""

    def __init__(self, hub: Hub, home: Home, name: ModelName, repository: Repository, progress: Progress) -> None:
        self._hub = hub
        self._home = home
        self._name = name
        self._repository = repository
        self._progress = progress

    def select(self) -> Selection:
        """Choose the files. A name with a quantisation, or a repository without safetensors, means GGUF."""
        listing = self._repository.files
        if self._name.variant not in (None, SAFETENSORS) or not holds_safetensors(listing):
            return select_gguf(self._name, listing)
        index = None
        if has_index(listing):
            remote = next(file for file in listing if file.path == INDEX)
            path = self._download(remote, SAFETENSORS, before=0, total=remote.size)
            verified_sha256(path, remote, lambda _: None)
            index = path.read_bytes()
        return select_safetensors(self._name, listing, index)

    def fetch(self, selection: Selection) -> None:
        """Download and check what is not in the store yet, then install the model."""
        missing = [file for file in selection.files if not self._has_blob(file)]
        self._check_space(missing, selection.variant)
        total = sum(file.size for file in missing)
        paths: list[Path] = []
        for file in missing:
            before = sum(earlier.size for earlier in missing[: len(paths)])
            paths.append(self._download(file, selection.variant, before, total))
        hashes = self._verify(missing, paths, total)
        manifest = self._manifest(selection, dict(zip((file.path for file in missing), hashes, strict=True)))
        install(self._home, self._name, manifest, dict(zip(hashes, paths, strict=True)))

    def _download(self, file: RemoteFile, variant: str, before: int, total: int) -> Path:
        path = self._home.downloads(self._name, variant) / f"{file.sha256 or file.git_id}.partial"
        label = f"pulling {self._name.repository}"
        self._hub.download(
            self._name, self._repository.revision, file, path, lambda here: self._progress(label, before + here, total)
        )
        return path

    def _verify(self, files: Sequence[RemoteFile], paths: Sequence[Path], total: int) -> list[str]:
        done = 0

        def advance(amount: int) -> None:
            nonlocal done
            done += amount
            self._progress("checking hashes", done, total)

        return [verified_sha256(path, file, advance) for file, path in zip(files, paths, strict=True)]

    def _manifest(self, selection: Selection, hashes: dict[str, str]) -> Manifest:
        files = [(file, file.sha256 or hashes[file.path]) for file in selection.files]
        return Manifest(
            name=self._name.repository,
            variant=selection.variant,
            entry=selection.entry,
            endpoint=self._hub.endpoint,
            revision=self._repository.revision,
            licence=self._repository.licence,
            pulled=datetime.now(UTC).isoformat(timespec="seconds"),
            files=tuple(LockedFile(selection.stored_name(file), file.size, sha256) for file, sha256 in files),
        )

    def _has_blob(self, file: RemoteFile) -> bool:
        return file.sha256 is not None and (self._home.blobs / file.sha256).is_file()

    def _check_space(self, missing: Sequence[RemoteFile], variant: str) -> None:
        partial = self._home.downloads(self._name, variant)
        here = sum(path.stat().st_size for path in partial.glob("*.partial"))
        needed = sum(file.size for file in missing) - here
        free = shutil.disk_usage(self._home.path).free
        if needed + _RESERVE > free:
            raise StoreError(
                f"{self._name} needs {needed / 1e9:.1f} GB more, and {self._home.path} has {free / 1e9:.1f} GB free",
                hint="remove models with freehold rm, or set FREEHOLD_HOME to a larger disk",
            )


def _is_current(folder: Path, repository: Repository, selection: Selection) -> bool:
    """Whether exactly these files of this commit are installed already and complete."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        manifest = Manifest.read(folder / MANIFEST)
    except StoreError:
        return False  # pulling again is what repairs a damaged manifest
    same = manifest.revision == repository.revision
    same = same and {file.name for file in manifest.files} == {selection.stored_name(file) for file in selection.files}
    return same and complete(folder, manifest) is None
