"""Files that are read by mapping them into memory."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

import numpy as np
import numpy.typing as npt

from freehold.errors import CheckpointError

# O_NONBLOCK: opening a named pipe must not wait for somebody to write into it. Neither flag exists on Windows.
OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class MappedFile:
    """A regular file, mapped read-only. The mapping lives as long as this object or any array made from it.

    Attributes:
        path: the file.
        data: the mapped bytes.
        size: how many there are.
        modified: when it was last written to, in nanoseconds since 1970.
    """

    def __init__(self, path: Path) -> None:
        """Map a file.

        Raises:
            CheckpointError: it is absent, unreadable, empty, or not a regular file.
        """
        self.path = path
        descriptor, status = _open_regular(path)
        self.size, self.modified = status.st_size, status.st_mtime_ns
        try:
            if self.size == 0:
                raise CheckpointError(f"{path.name} is empty", hint="download or copy it again")
            self.data = mmap.mmap(descriptor, self.size, access=mmap.ACCESS_READ)
        except OSError as error:
            raise CheckpointError(f"cannot map {path} into memory: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def view(self, start: int, size: int, alignment: int) -> npt.NDArray[np.uint8]:
        """Bytes start to start + size as a read-only array, copied only where they are not aligned in the file.

        Raises:
            CheckpointError: the file has become shorter or longer since it was opened.
        """
        if self.data.size() != self.size:
            raise CheckpointError(
                f"{self.path.name} had {self.size} bytes when it was opened and has {self.data.size()} now",
                hint="something is writing to the model's files; load the model again when it has finished",
            )
        data: npt.NDArray[np.uint8] = np.frombuffer(self.data, np.uint8, size, start)
        return data if start % alignment == 0 else data.copy()

    def release(self) -> None:
        """Take the pages that were read out of the resident memory; the next access brings them back.

        A hint to the system, which does nothing where it cannot be given.
        """
        if hasattr(mmap, "MADV_DONTNEED"):
            self.data.madvise(mmap.MADV_DONTNEED)


def read_small(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most so many bytes.

    Raises:
        CheckpointError: it is absent, unreadable, too large, or not a regular file.
    """
    descriptor, status = _open_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > limit:
            raise CheckpointError(
                f"{path.name} has {status.st_size} bytes; at most {limit} are read",
                hint="it is damaged or not what its name says; download it again",
            )
        return file.read(limit)


def _open_regular(path: Path) -> tuple[int, os.stat_result]:
    """Open for reading: a descriptor, which the caller closes, and what is known of the file."""
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist", hint="check the spelling of the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"cannot open {path}: {reason}", hint="check the file's permissions") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise CheckpointError(f"{path} is not a regular file", hint="a model is a folder or a regular file")
    return descriptor, status
