"""JSON from untrusted files: bounded in size and memory, without duplicate keys.

`read_object` is for small files. `Scanner` walks a large object member by member over mapped bytes, so that memory is
spent on what is kept and not on a tree of everything that a hostile file can pack into its bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path
from typing import Any

from freehold.checkpoints import limits
from freehold.checkpoints.mapped import read_small
from freehold.errors import CheckpointError

# Possessive quantifiers: linear time and constant memory whatever the text.
SPACE = rb"[ \t\n\r]*+"
STRING = rb'("[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+")'
KEY = re.compile(SPACE + STRING + SPACE + rb":" + SPACE)
VALUE_STRING = re.compile(STRING)
OPENING = re.compile(SPACE + rb"\{" + SPACE)
CLOSING = re.compile(SPACE + rb"\}")
SEPARATOR = re.compile(SPACE + rb"([,}])")
END = re.compile(SPACE)


def read_object(path: Path, limit: int) -> dict[str, Any]:
    """Parse a small JSON file whose top level must be an object.

    Raises:
        CheckpointError: it is absent, larger than `limit` bytes, not UTF-8, not valid JSON or not an object, or has a
            key twice.
    """
    try:
        value = json.loads(read_small(path, limit).decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path.name} is not valid JSON: {_reason(error)}", hint="the file is damaged; download it again"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{path.name} holds a JSON {type(value).__name__}; expected an object",
            hint="the file is damaged; download it again",
        )
    return value


class Scanner:
    """Walks one large JSON object from `start` to `stop` in mapped bytes.

    Args:
        file: what to call the file in messages.
    """

    def __init__(self, data: mmap, start: int, stop: int, file: str) -> None:
        self._data = data
        self._position = start
        self._stop = stop
        self._file = file
        self._decoder = json.JSONDecoder(object_pairs_hook=_without_duplicates)

    def members(self, most: int) -> Iterator[str]:
        """Keys of the object at this place. After each, the caller consumes its value before it asks for the next.

        Args:
            most: how many there may be.
        """
        self._take(OPENING, "an object")
        if self._accept(CLOSING):
            return
        seen: set[str] = set()
        while True:
            if len(seen) == most:
                raise self.error(f"there are more than {most} members in this object")
            key = self._decode(self._take(KEY, "a key")[1])
            if key in seen:
                raise self.error(f"the key {key!r:.200} occurs twice")
            seen.add(key)
            yield key
            if self._take(SEPARATOR, "a comma or a closing brace")[1] == b"}":
                return

    def string(self) -> str:
        """The string at this place."""
        return self._decode(self._take(VALUE_STRING, "a string")[1])

    def skip_string(self) -> None:
        """Pass over a string of any length without decoding it."""
        self._take(VALUE_STRING, "a string")

    def value(self, limit: int) -> Any:
        """Any value at this place, of at most `limit` bytes."""
        window = self._data[self._position : min(self._position + limit, self._stop)]
        text = window.decode(errors="replace")
        try:
            value, length = self._decoder.raw_decode(text)
        except (ValueError, RecursionError) as error:
            raise self.error(f"not a JSON value of at most {limit} bytes: {_reason(error)}") from error
        self._position += length if window.isascii() else len(text[:length].encode(errors="replace"))
        return value

    def finish(self) -> None:
        """Check that nothing but white space is left."""
        self._accept(END)
        if self._position != self._stop:
            raise self.error("there is text after the end of the object")

    def error(self, problem: str) -> CheckpointError:
        """The error for a problem at this place, to be raised by the caller."""
        return CheckpointError(
            f"{self._file}: byte {self._position}: {problem}", hint="the file is damaged; download it again"
        )

    def _take(self, pattern: re.Pattern[bytes], expected: str) -> re.Match[bytes]:
        match = pattern.match(self._data, self._position, self._stop)
        if match is None:
            found = self._data[self._position : min(self._position + 20, self._stop)]
            raise self.error(f"expected {expected}, found {found!r}")
        self._position = match.end()
        return match

    def _accept(self, pattern: re.Pattern[bytes]) -> bool:
        match = pattern.match(self._data, self._position, self._stop)
        if match is None:
            return False
        self._position = match.end()
        return True

    def _decode(self, literal: bytes) -> str:
        if len(literal) > limits.MAX_STRING_BYTES:
            raise self.error(f"a string has {len(literal)} bytes; at most {limits.MAX_STRING_BYTES} are read")
        try:
            # Without escapes the literal is the string; most names are.
            text: str = json.loads(literal) if b"\\" in literal else literal[1:-1].decode()
        except ValueError as error:
            raise self.error(f"not a valid string: {_reason(error)}") from error
        return text


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r:.200} occurs twice")
            seen.add(key)
    return members


def _reason(error: Exception) -> str:
    """What was wrong, without the text at fault, which could be megabytes."""
    return "it is nested too deeply" if isinstance(error, RecursionError) else f"{error}"[:300]
