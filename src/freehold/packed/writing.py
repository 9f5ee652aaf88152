"""Weights that are packed now, written to a file as they are and mapped back, so that they are in memory once."""

from __future__ import annotations

import json
import logging
import mmap
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from freehold.files import sync_folder
from freehold.packed.layout import ALIGNMENT, UNFINISHED, checksum, header
from freehold.packed.records import TYPES, AnyArray, PackedWeight, from_record, listed, to_record

PARTIAL = ".partial"
SMALLEST_MAPPED = 1 << 16  # bytes; what is smaller stays where it is

logger = logging.getLogger("freehold.packed")


class PackedWriter:
    """Keeps weights in a file that gets its name when it is whole; once that fails, weights are packed and no more."""

    def __init__(self, path: Path, sources: list[dict[str, Any]]) -> None:
        """Begin a file.

        Args:
            path: what it will be called.
            sources: the files that the weights come from.

        Raises:
            OSError: the folder cannot be written to.
        """
        self.path = path
        self._sources = sources
        self._weights: dict[str, Any] = {}
        self._partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}{PARTIAL}")
        self._file = open(self._partial, "x+b")  # noqa: SIM115 (`close` closes it)
        self._failed = False
        self._file.write(UNFINISHED)

    def weight(
        self, name: str, parameters: Mapping[str, tuple[int, ...]], pack: Callable[[], PackedWeight]
    ) -> PackedWeight:
        """Pack a weight and keep it under that name.

        Args:
            parameters: shapes of what the weight is made of, in their order.

        Returns:
            The same weight over the file's pages; as it was packed where it could not be written.
        """
        packed = pack()
        if self._failed:
            return packed
        start = self._file.tell()
        try:
            record = to_record(packed, self._put)
            self._file.flush()
            self._weights[name] = {**record, "parameters": listed(parameters)}
            return from_record(record, self._region(start)) if self._file.tell() - start > SMALLEST_MAPPED else packed
        except OSError as error:
            self._fail(error)
            return packed

    def finish(self) -> None:
        """Write the index, and give the file its name once all of it is on the disk."""
        if self._failed:
            return
        try:
            start = self._file.tell()
            self._file.flush()
            arrays = [len(UNFINISHED), start]
            index = {
                "sources": self._sources,
                "arrays": arrays,
                "samples": checksum(self._file, *arrays),
                "weights": self._weights,
            }
            text = json.dumps(index).encode()
            self._file.seek(start)
            self._file.write(text)
            self._file.seek(0)
            self._file.write(header(start, text))
            self._file.flush()
            os.fsync(self._file.fileno())
            os.replace(self._partial, self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Remove what is not finished."""
        with suppress(OSError):  # what could not be written before cannot be written now
            self._file.close()
        with suppress(FileNotFoundError):  # it has its final name
            self._partial.unlink()

    def _fail(self, error: OSError) -> None:
        self._failed = True
        logger.warning(
            "the packed weights cannot be kept in %s (%s); the next start will pack again",
            self.path.parent,
            error.strerror or error,
        )

    def _put(self, array: AnyArray) -> list[Any]:
        flat = np.ascontiguousarray(array).reshape(-1)
        if flat.dtype.name not in TYPES:
            raise TypeError(f"a packed array is of type {flat.dtype}; expected one of {', '.join(TYPES)}")
        start = self._file.tell()
        padding = -start % ALIGNMENT
        self._file.write(bytes(padding))
        self._file.write(flat.view(np.uint8).data)
        return [start + padding, flat.dtype.name, flat.size]

    def _region(self, start: int) -> Callable[[list[Any]], AnyArray]:
        """Finds arrays in a mapping of the file from `start` to its end."""
        first = start - start % mmap.ALLOCATIONGRANULARITY
        data = mmap.mmap(self._file.fileno(), self._file.tell() - first, access=mmap.ACCESS_READ, offset=first)

        def array(place: list[Any]) -> AnyArray:
            begin, kind, count = place
            return np.frombuffer(data, TYPES[kind], count, begin - first)

        return array
