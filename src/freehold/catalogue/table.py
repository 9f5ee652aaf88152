"""Checked access to a TOML table: every value is asked for by name and type, and nothing may be left over."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

from freehold.errors import CatalogueError

_HUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


class Table:
    """A TOML table and where it stands.

    Raises:
        CatalogueError: from every method, naming file and key.
    """

    def __init__(self, content: dict[str, Any], file: str, place: str = "") -> None:
        self._content = content
        self._file = file
        self._place = place
        self._asked: set[str] = set()

    @classmethod
    def read(cls, path: Path) -> Table:
        """The top of a file."""
        try:
            return cls(tomllib.loads(path.read_text(encoding="utf-8")), path.name)
        except (OSError, ValueError) as error:
            raise CatalogueError(f"the catalogue's {path.name} cannot be read: {error}") from error

    def refuse(self, key: str, reason: str) -> NoReturn:
        """Say that a key's value will not do."""
        raise CatalogueError(f"the catalogue's {self._file}: {self._place}{key} {reason}")

    def has(self, key: str) -> bool:
        return key in self._content

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def get(self, key: str, kind: type, default: Any = ...) -> Any:
        """A value of exactly that type; without a default it must be there."""
        self._asked.add(key)
        if key not in self._content:
            if default is ...:
                self.refuse(key, "is absent")
            return default
        value = self._content[key]
        if type(value) is not kind:
            self.refuse(key, f"is {value!r}, which is not of type {kind.__name__}")
        return value

    def text(self, key: str, default: Any = ...) -> Any:
        """A string that is not empty."""
        value = self.get(key, str, default)
        if value == "":
            self.refuse(key, "is empty")
        return value

    def matching(self, key: str, pattern: re.Pattern[str], default: Any = ...) -> Any:
        """A string of a certain form."""
        value = self.text(key, default)
        if isinstance(value, str) and pattern.fullmatch(value) is None:
            self.refuse(key, f"is {value!r}, which is not of the form {pattern.pattern}")
        return value

    def hub(self, key: str, default: Any = ...) -> Any:
        """A repository, owner/name."""
        return self.matching(key, _HUB, default)

    def count(self, key: str, default: Any = ...) -> Any:
        """An integer above 0."""
        value = self.get(key, int, default)
        if value is not None and value < 1:
            self.refuse(key, f"is {value}, which is not above 0")
        return value

    def day(self, key: str, default: Any = ...) -> Any:
        """A date without a time."""
        return self.get(key, date, default)

    def texts(self, key: str, default: tuple[str, ...] | Any = ...) -> tuple[str, ...]:
        """A list of strings, none of them twice."""
        values = self.get(key, list, default)
        if not all(isinstance(value, str) and value for value in values) or len(set(values)) != len(values):
            self.refuse(key, "is not a list of different texts")
        return tuple(values)

    def table(self, key: str) -> Table:
        """A table inside this one; empty where it is absent."""
        return Table(self.get(key, dict, {}), self._file, f"{self._place}{key}.")

    def tables(self, key: str, default: Any = ...) -> list[Table]:
        """A list of tables."""
        values = self.get(key, list, default)
        for value in values:
            if not isinstance(value, dict):
                self.refuse(key, f"holds {value!r}, which is not a table")
        return [Table(value, self._file, f"{self._place}{key}[{index}].") for index, value in enumerate(values)]

    def over(self, other: Table) -> Table:
        """This table's values, and the other's where this one has none."""
        return Table({**other._content, **self._content}, self._file, self._place)

    def content(self) -> dict[str, Any]:
        """All of it, whatever its keys."""
        self._asked.update(self._content)
        return dict(self._content)

    def finish(self) -> None:
        """Refuse keys that nobody has asked for."""
        for key in self._content:
            if key not in self._asked:
                self.refuse(key, f"is not known; known here: {', '.join(sorted(self._asked))}")
