"""The manifest of a pulled model: where it came from, and the size and hash of every file. It is the model's lock."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from freehold.errors import StoreError
from freehold.files import sync_folder

SCHEMA = 1
_FILE_NAME = re.compile(r"[A-Za-z0-9_+=@][A-Za-z0-9._+=@ -]{0,254}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TEXTS = ("name", "variant", "entry", "endpoint", "revision", "pulled")


@dataclass(frozen=True, slots=True)
class LockedFile:
    """A file of a model: its name in the model's folder, its size in bytes and the SHA-256 of its content.

    A name may lead into one folder below, as `1_Pooling/config.json` does.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was pulled.

    Attributes:
        name: organisation/name on the hub.
        variant: "safetensors", or the quantisation of the GGUF file.
        entry: the GGUF file to open (the first one of a split), or "" where the folder itself is opened.
        endpoint: the hub it came from.
        revision: the commit it was taken from, in hexadecimal.
        licence: as the model card states it, or None.
        pulled: when, in ISO 8601 with time zone.
    """

    name: str
    variant: str
    entry: str
    endpoint: str
    revision: str
    licence: str | None
    pulled: str
    files: tuple[LockedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def write(self, path: Path) -> None:
        """Write the manifest so that a reader sees the old one or the new one, whatever happens in between."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump({"schema": SCHEMA, **asdict(self)}, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read and check a manifest.

        Raises:
            StoreError: it is damaged, or of a newer schema than this version knows.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _damaged(path, str(error)) from error
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise _damaged(path, f"schema is not {SCHEMA}")
        return cls._checked(path, content)

    @classmethod
    def _checked(cls, path: Path, content: Mapping[str, Any]) -> Manifest:
        for key in _TEXTS:
            if not isinstance(content.get(key), str):
                raise _damaged(path, f"{key} is not a text")
        licence = content.get("licence")
        if licence is not None and not isinstance(licence, str):
            raise _damaged(path, "licence is not a text")
        if _REVISION.fullmatch(content["revision"]) is None:
            raise _damaged(path, f"revision is {content['revision']!r}, not a commit")
        try:
            datetime.fromisoformat(content["pulled"])
        except ValueError as error:
            raise _damaged(path, f"pulled is {content['pulled']!r}, not a date") from error
        files = content.get("files")
        if not isinstance(files, list) or not files:
            raise _damaged(path, "it lists no files")
        locked = tuple(_locked_file(path, file) for file in files)
        if content["entry"] and content["entry"] not in {file.name for file in locked}:
            raise _damaged(path, f"entry {content['entry']!r} is not among its files")
        return cls(**{key: content[key] for key in _TEXTS}, licence=licence, files=locked)


def is_file_name(name: str) -> bool:
    """Whether a name is that of a file in the folder itself: no separators, no leading dot, no control characters."""
    return _FILE_NAME.fullmatch(name) is not None


def _locked_file(path: Path, content: object) -> LockedFile:
    if not isinstance(content, dict) or set(content) != {"name", "size", "sha256"}:
        raise _damaged(path, "an entry of files is not name, size and sha256")
    name, size, sha256 = content["name"], content["size"], content["sha256"]
    parts = name.split("/") if isinstance(name, str) else []
    if not 1 <= len(parts) <= 2 or not all(is_file_name(part) for part in parts):
        raise _damaged(path, f"{name!r} is not a file name")
    if type(size) is not int or size < 0:
        raise _damaged(path, f"the size of {name} is {size!r}")
    if not isinstance(sha256, str) or _SHA256.fullmatch(sha256) is None:
        raise _damaged(path, f"the hash of {name} is not a SHA-256")
    return LockedFile(name, size, sha256)


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"the manifest {path} is damaged: {reason}", hint="pull the model again, or remove it with freehold rm"
    )
