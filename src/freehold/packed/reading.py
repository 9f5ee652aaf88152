"""Weights that were packed before, mapped into memory."""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from freehold.errors import CheckpointError
from freehold.packed.layout import checksum, read_index
from freehold.packed.records import TYPES, AnyArray, PackedWeight, from_record, listed

logger = logging.getLogger("freehold.packed")


class PackedReader:
    """The weights in a file. The mapping lives as long as any of them."""

    def __init__(self, path: Path) -> None:
        """Open a file and check it.

        Raises:
            FileNotFoundError: there is none.
            CheckpointError: it is truncated or damaged; also where the damage shows in a later read.
            OSError: it cannot be read.
        """
        self.path = path
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            try:
                index = read_index(file, size)
                start, stop = index["arrays"]
                if checksum(file, start, stop) != index["samples"]:
                    raise CheckpointError("its samples do not have the checksum that they should")
                self._weights: Mapping[str, Any] = dict(index["weights"])
            except (KeyError, TypeError, ValueError) as error:
                raise CheckpointError(f"its index does not say what it should: {error!r}") from error
            self._data = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_WILLNEED"):
            self._data.madvise(mmap.MADV_WILLNEED)

    def weight(
        self, name: str, parameters: Mapping[str, tuple[int, ...]], pack: Callable[[], PackedWeight]
    ) -> PackedWeight:
        """The weight of that name; packed again where the file does not hold it as it should.

        Args:
            parameters: shapes of what the weight is made of, in their order.
        """
        try:
            record = self._weights[name]
            if record["parameters"] != listed(parameters):
                raise ValueError("it is made of other parameters")
            return from_record(record, self._array)
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("packed weights are damaged and made again at the next start: %s: %s", self.path, error)
            with suppress(OSError):  # a folder that cannot be written to keeps it
                self.path.unlink()
            return pack()

    def _array(self, place: list[Any]) -> AnyArray:
        start, kind, count = place
        return np.frombuffer(self._data, TYPES[kind], count, start)
