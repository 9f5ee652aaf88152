"""GGUF's key-value metadata: checked when the file is opened, decoded when a value is asked for.

A vocabulary's strings would fill tens of megabytes as Python objects; a file that is refused further on never
gets to make them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from mmap import mmap
from typing import Any

import numpy as np

from freehold.checkpoints import limits
from freehold.checkpoints.gguf.cursor import Cursor
from freehold.checkpoints.gguf.values import NUMBERS, UINT32, UINT64, ValueType
from freehold.errors import CheckpointError

ARRAY_HEADER_BYTES = UINT32.size + UINT64.size


class Metadata(Mapping[str, Any]):
    """Metadata by key: bool, int, float, str, or lists of them.

    A value that is asked for is kept. Reading one raises CheckpointError where its text is not UTF-8 or many megabytes
    long, or a boolean is neither 0 nor 1.
    """

    def __init__(self, cursor: Cursor, count: int) -> None:
        """Step over `count` pairs, checking every length and type.

        Raises:
            CheckpointError: a key occurs twice, a type is unknown, or anything extends past the header's end.
        """
        if count > limits.MAX_METADATA_KEYS:
            raise cursor.error(f"there are {count} metadata keys; at most {limits.MAX_METADATA_KEYS} are read")
        self._data = cursor.data
        self._file = cursor.file
        self._places: dict[str, tuple[ValueType, int]] = {}
        self._decoded: dict[str, Any] = {}
        checker = _Checker(cursor)
        for _ in range(count):
            key = cursor.name("a metadata key", limits.MAX_KEY_BYTES)
            if key in self._places:
                raise cursor.error(f"the metadata key {key!r:.200} occurs twice")
            kind = _value_type(cursor, cursor.uint32("a value's type"))
            self._places[key] = (kind, cursor.position)
            checker.skip(kind, key)

    def __getitem__(self, key: str) -> Any:
        if key not in self._decoded:
            kind, start = self._places[key]
            try:
                self._decoded[key] = _decode(self._data, kind, start)[0]
            except ValueError as error:
                raise CheckpointError(
                    f"{self._file}: the metadata value of {key!r:.200} is damaged: {error}",
                    hint="convert or download the file again",
                ) from error
        return self._decoded[key]

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class _Checker:
    """Steps a cursor over values, with budgets of array items for the whole file."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._numbers = limits.MAX_ARRAY_NUMBERS
        self._strings = limits.MAX_ARRAY_STRINGS
        self._arrays = limits.MAX_NESTED_ARRAYS

    def skip(self, kind: ValueType, key: str) -> None:
        if kind is ValueType.ARRAY:
            self._skip_array(key, depth=1)
        elif kind is ValueType.STRING:
            self._cursor.advance(self._cursor.uint64("a string's length"), f"the string {key!r:.200}")
        else:
            self._cursor.advance(NUMBERS[kind].size, f"the value of {key!r:.200}")

    def _skip_array(self, key: str, depth: int) -> None:
        cursor = self._cursor
        if depth > limits.MAX_ARRAY_DEPTH:
            raise cursor.error(f"arrays in {key!r:.200} are nested more than {limits.MAX_ARRAY_DEPTH} deep")
        kind = _value_type(cursor, cursor.uint32("an array's type"))
        count = cursor.uint64("an array's length")
        if kind is ValueType.STRING:
            self._strings = self._left(self._strings, count, key)
            cursor.skip_strings(count, repr(key)[:200])
        elif kind is ValueType.ARRAY:
            self._arrays = self._left(self._arrays, count, key)
            for _ in range(count):
                self._skip_array(key, depth + 1)
        else:
            self._numbers = self._left(self._numbers, count, key)
            cursor.advance(count * NUMBERS[kind].size, f"the array {key!r:.200}")

    def _left(self, budget: int, count: int, key: str) -> int:
        if count > budget:
            raise self._cursor.error(f"the array {key!r:.200} has {count} items; at most {budget} more are read")
        return budget - count


def _value_type(cursor: Cursor, number: int) -> ValueType:
    try:
        return ValueType(number)
    except ValueError as error:
        raise cursor.error(f"unknown metadata type {number}; expected 0 to {max(ValueType)}") from error


def _decode(data: mmap, kind: ValueType, start: int) -> tuple[Any, int]:
    """A checked value, and where it ends. Raises ValueError for what only its content can show."""
    if kind is ValueType.ARRAY:
        return _decode_array(data, start)
    if kind is ValueType.STRING:
        stop = start + UINT64.size + UINT64.unpack_from(data, start)[0]
        if stop - start > limits.MAX_TEXT_BYTES:
            raise ValueError(f"a text of {stop - start} bytes; at most {limits.MAX_TEXT_BYTES} are read")
        return data[start + UINT64.size : stop].decode(), stop
    (value,) = NUMBERS[kind].unpack_from(data, start)
    if kind is ValueType.BOOL:
        value = _boolean(value)
    return value, start + NUMBERS[kind].size


def _decode_array(data: mmap, start: int) -> tuple[list[Any], int]:
    kind = ValueType(UINT32.unpack_from(data, start)[0])
    (count,) = UINT64.unpack_from(data, start + UINT32.size)
    position = start + ARRAY_HEADER_BYTES
    if kind in NUMBERS:
        numbers = np.frombuffer(data, NUMBERS[kind].format, count, position).tolist()
        stop = position + count * NUMBERS[kind].size
        return [_boolean(number) for number in numbers] if kind is ValueType.BOOL else numbers, stop
    if kind is ValueType.STRING:
        return _decode_strings(data, count, position)
    items = []
    for _ in range(count):
        item, position = _decode_array(data, position)
        items.append(item)
    return items, position


def _decode_strings(data: mmap, count: int, position: int) -> tuple[list[str], int]:
    strings = []
    unpack = UINT64.unpack_from
    for _ in range(count):
        start = position + UINT64.size
        position = start + unpack(data, position)[0]
        strings.append(data[start:position].decode())
    return strings, position


def _boolean(value: int) -> bool:
    if value not in (0, 1):
        raise ValueError(f"a boolean is {value}; expected 0 or 1")
    return value == 1
