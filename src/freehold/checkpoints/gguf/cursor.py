"""Reads numbers and strings from mapped bytes, never past a given end."""

from __future__ import annotations

from mmap import mmap

from freehold.checkpoints import limits
from freehold.checkpoints.gguf.values import UINT32, UINT64
from freehold.checkpoints.layout import DAMAGED
from freehold.errors import CheckpointError


class Cursor:
    """A place in a GGUF file's header. All lengths are Python integers, so none can wrap around.

    Attributes:
        data: the mapped file.
        position: where the next value starts.
        file: what to call the file in messages.
    """

    def __init__(self, data: mmap, file: str) -> None:
        self.data = data
        self.position = 0
        self.file = file
        self._end = min(len(data), limits.MAX_GGUF_HEADER_BYTES)

    @property
    def remaining(self) -> int:
        return self._end - self.position

    def advance(self, size: int, what: str) -> int:
        """Step over so many bytes; returns where they start."""
        if size > self.remaining:
            raise self.error(f"{what} of {size} bytes extends past the end of the header ({self.remaining} remain)")
        start = self.position
        self.position += size
        return start

    def uint32(self, what: str) -> int:
        value: int = UINT32.unpack_from(self.data, self.advance(UINT32.size, what))[0]
        return value

    def uint64(self, what: str) -> int:
        value: int = UINT64.unpack_from(self.data, self.advance(UINT64.size, what))[0]
        return value

    def name(self, what: str, limit: int) -> str:
        """A printable string of 1 to `limit` bytes, such as a key's or a tensor's name."""
        length = self.uint64(f"the length of {what}")
        if not 0 < length <= limit:
            raise self.error(f"{what} has {length} bytes; expected 1 to {limit}")
        start = self.advance(length, what)
        raw = self.data[start : start + length]
        try:
            name = raw.decode()
        except UnicodeDecodeError as error:
            raise self.error(f"{what} is not UTF-8: {raw!r:.200}") from error
        if not name.isprintable():
            raise self.error(f"{what} is not printable: {name!r:.200}")
        return name

    def skip_strings(self, count: int, what: str) -> None:
        """Step over so many strings: the loop that every vocabulary goes through, so it is written for speed."""
        if count * UINT64.size > self.remaining:
            raise self.error(f"{what} cannot have {count} strings in the {self.remaining} bytes that remain")
        unpack, data, position = UINT64.unpack_from, self.data, self.position
        last = self._end - UINT64.size
        for _ in range(count):
            if position > last:
                break
            position += UINT64.size + unpack(data, position)[0]
        else:
            if position <= self._end:
                self.position = position
                return
        raise self.error(f"a string in {what} extends past the end of the header")

    def error(self, problem: str) -> CheckpointError:
        """The error for a problem at this place, to be raised by the caller."""
        return CheckpointError(f"{self.file}: byte {self.position}: {problem}", hint=DAMAGED)
