"""Reading files that may be hostile: regular files only, sizes bounded, types checked before use."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from freehold.errors import TokenizerError

MAX_TOKENIZER_BYTES = 64 << 20
MAX_SETTINGS_BYTES = 16 << 20
MAX_VOCABULARY = 1 << 21
"""More tokens than any released model has; bounds what a damaged count can make us allocate."""

MAX_SPLITTING = 1 << 26
"""Sum of the squared lengths of pieces whose splits are all tried; five times that of the largest we know."""


def read_bytes(path: Path, limit: int = MAX_TOKENIZER_BYTES) -> bytes:
    """The contents of a regular file of at most `limit` bytes.

    Raises:
        TokenizerError: unreadable, not a regular file, or larger.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise TokenizerError(f"{path.name} is not a regular file")
        if status.st_size > limit:
            raise TokenizerError(f"{path.name} has {status.st_size} bytes, more than the {limit} that are read")
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise TokenizerError(f"{path.name} cannot be read: {error.strerror}") from error


def read_text(path: Path, limit: int = MAX_SETTINGS_BYTES) -> str:
    """The contents of a UTF-8 file.

    Raises:
        TokenizerError: as `read_bytes`, or not UTF-8.
    """
    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path.name} is not UTF-8: byte {error.start} does not fit") from error


def read_json_object(path: Path, limit: int = MAX_SETTINGS_BYTES) -> dict[str, object]:
    """The JSON object in a file.

    Raises:
        TokenizerError: as `read_text`, or not a JSON object.
    """
    try:
        value = json.loads(read_text(path, limit))
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{path.name} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise TokenizerError(f"{path.name} holds a {type(value).__name__} where a JSON object is expected")
    return value


def optional_flag(values: Mapping[str, object], key: str, where: str) -> bool | None:
    """A true or false that may be absent or null."""
    value = values.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise TokenizerError(f"{where}: {key} is {value!r:.80}, expected true or false")


def optional_text(values: Mapping[str, object], key: str, where: str) -> str | None:
    """A string that may be absent or null."""
    value = values.get(key)
    if value is None or isinstance(value, str):
        return value
    raise TokenizerError(f"{where}: {key} is {value!r:.80}, expected a string")


def token_id(value: object, where: str) -> int:
    """A token id: an integer between 0 and the largest vocabulary."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_VOCABULARY:
        return int(value)
    raise TokenizerError(f"{where} is {value!r:.80}, expected a token id from 0 to {MAX_VOCABULARY - 1}")


def check_splitting(pieces: Iterable[str]) -> None:
    """Checks that trying every split of every piece ends in good time.

    Raises:
        TokenizerError: too many long pieces.
    """
    work = sum(len(piece) ** 2 for piece in pieces)
    if work > MAX_SPLITTING:
        raise TokenizerError(
            f"the vocabulary has more long pieces than any model: {work} to try, at most {MAX_SPLITTING}"
        )
