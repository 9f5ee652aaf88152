"""The folder of packed weights: how large it may become, and what is removed from it first.

FREEHOLD_PACKED_GB says how many gigabytes it may take, 20 where it is not set; 0 turns it off.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from freehold.errors import CheckpointError, StoreError
from freehold.packed.layout import SUFFIX, read_index

LIMIT_VARIABLE = "FREEHOLD_PACKED_GB"
PARTIAL_PATTERN = f".*{SUFFIX}.*.partial"
FREE_BYTES = 1 << 30  # of the disk, left to others
ABANDONED_SECONDS = 3600.0  # since a file that is being written last grew

_DEFAULT_LIMIT = 20.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of packed weights.

    Attributes:
        path: the file.
        size: its bytes.
        used: when it was last used, in seconds since 1970.
    """

    path: Path
    size: int
    used: float


def limit_bytes() -> int:
    """Most bytes that all packed weights may take; 0 where they are not to be kept.

    Raises:
        StoreError: FREEHOLD_PACKED_GB is no number.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        value = float(text) if text else _DEFAULT_LIMIT
        if not 0 <= value < float("inf"):
            raise ValueError
    except ValueError as error:
        raise StoreError(
            f"{LIMIT_VARIABLE} is {text!r}, which is not a number of gigabytes",
            hint="set it to one, such as 20; 0 is off",
        ) from error
    return int(value * 1e9)


def kept(folder: Path) -> list[Kept]:
    """All files of packed weights, the least recently used first."""
    found: list[Kept] = []
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(FileNotFoundError):  # another process removed it just now
            status = path.stat()
            found.append(Kept(path, status.st_size, status.st_mtime))
    return sorted(found, key=lambda one: (one.used, one.path))


def touch(path: Path) -> None:
    """Note that a file is used now. In a folder that cannot be written to nothing is ever evicted either."""
    with suppress(OSError):
        os.utime(path)


def make_room(folder: Path, needed: int) -> str | None:
    """Remove what is of no use any more, then what was used least recently, until so many bytes more may be kept.

    Returns:
        Why they cannot be kept, or None.

    Raises:
        OSError: the folder cannot be written to.
    """
    limit = limit_bytes()
    if needed > limit:
        return f"they take {needed / 1e9:.1f} GB, and {LIMIT_VARIABLE} allows {limit / 1e9:g}"
    for path in folder.glob(PARTIAL_PATTERN):
        with suppress(FileNotFoundError):  # finished just now
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()
    sweep(folder)
    files = kept(folder)
    while files and (sum(one.size for one in files) + needed > limit or _is_short(folder, needed)):
        files.pop(0).path.unlink(missing_ok=True)
    if _is_short(folder, needed):
        return f"they take {needed / 1e9:.1f} GB, and {folder} has {shutil.disk_usage(folder).free / 1e9:.1f} GB free"
    return None


def _is_short(folder: Path, needed: int) -> bool:
    return shutil.disk_usage(folder).free < needed + FREE_BYTES


def sweep(folder: Path) -> None:
    """Remove packed weights whose model is gone or has changed, and files that are damaged."""
    for one in kept(folder):
        if not is_current(one.path):
            one.path.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove all packed weights. Processes that use them keep what they have mapped."""
    for one in kept(folder):
        one.path.unlink(missing_ok=True)


def is_current(path: Path) -> bool:
    """Whether the files that packed weights were made from are still as they were."""
    try:
        with path.open("rb") as file:
            index = read_index(file, os.fstat(file.fileno()).st_size)
        for source in index["sources"]:
            status = os.stat(source["path"])
            if (status.st_size, status.st_mtime_ns) != (source["size"], source["modified"]):
                return False
    except (OSError, CheckpointError, KeyError, TypeError, ValueError):
        return False
    return True
