"""Reading foreign configurations: every value is checked, and what cannot be honoured is refused by key and value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from freehold.errors import ConfigError

# Far above any released model; keeps a hostile file from asking for absurd work before its tensors are looked at.
LARGEST = 2**31 - 1

Choice = TypeVar("Choice")


@dataclass(frozen=True, slots=True)
class Fields:
    """A foreign configuration: config.json, or GGUF metadata under one architecture's prefix.

    Attributes:
        values: the parsed mapping.
        source: what to call it in messages.
        prefix: put before every key, "llama." in GGUF.
    """

    values: Mapping[str, Any]
    source: str
    prefix: str = ""

    def has(self, key: str) -> bool:
        """Whether the key is there with a value other than null."""
        return self.values.get(self.prefix + key) is not None

    def integer(self, key: str, default: int | None = None, *, least: int = 1, most: int = LARGEST) -> int:
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.refuse(key, f"an integer from {least} to {most}")
        return value

    def number(self, key: str, default: float | None = None, *, above: float = 0.0) -> float:
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= above:
            raise self.refuse(key, f"a finite number above {above:g}")
        return float(value)

    def boolean(self, key: str, default: bool) -> bool:
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.refuse(key, "true or false")
        return value

    def choice(self, key: str, choices: Mapping[str, Choice], default: str | None = None) -> Choice:
        """The meaning of a string value.

        Args:
            choices: the values that we honour, with what each means.
        """
        value = self._value(key, default)
        if not isinstance(value, str) or value not in choices:
            raise self.refuse(key, "one of " + ", ".join(choices))
        return choices[value]

    def choices(self, key: str, choices: Mapping[str, Choice], count: int) -> tuple[Choice, ...]:
        """The meanings of a list of so many string values."""
        values = self.values.get(self.prefix + key)
        if not isinstance(values, list) or len(values) != count:
            raise self.refuse(key, f"a list of {count} values")
        if any(not isinstance(value, str) or value not in choices for value in values):
            raise self.refuse(key, "values of " + ", ".join(choices))
        return tuple(choices[value] for value in values)

    def integers(self, key: str, *, most: int) -> tuple[int, ...]:
        """A list of integers from 0 on; empty where it is absent or null."""
        values = self._value(key, [])
        if not isinstance(values, list) or any(
            isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most for value in values
        ):
            raise self.refuse(key, f"a list of integers from 0 to {most}")
        return tuple(values)

    def with_names(self, names: Mapping[str, str]) -> Fields:
        """The same with each key, where it is absent, taken from under an older name: key -> older name."""
        older = {key: self.values[self.prefix + old] for key, old in names.items() if self.prefix + old in self.values}
        return Fields(
            {**{self.prefix + key: value for key, value in older.items()}, **self.values}, self.source, self.prefix
        )

    def optional_number(self, key: str) -> float | None:
        """A finite number above 0, or None where it is absent or null."""
        return self.number(key) if self.has(key) else None

    def optional_integer(self, key: str) -> int | None:
        """An integer of at least 1, or None where it is absent or null."""
        return self.integer(key) if self.has(key) else None

    def mapping(self, key: str) -> Fields | None:
        """A nested object, or None where it is absent or null."""
        value = self.values.get(self.prefix + key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.refuse(key, "an object")
        return Fields(value, f"{self.source}, {key}")

    def refuse(self, key: str, expected: str) -> ConfigError:
        """The error for a value that cannot be honoured, to be raised by the caller."""
        name = self.prefix + key
        found = f"is {self.values[name]!r:.80}" if name in self.values else "is absent"
        return ConfigError(
            f"{self.source}: `{name}` {found}; supported: {expected}",
            hint="check that the model is complete and unchanged, or choose one that Freehold supports",
        )

    def _value(self, key: str, default: Any) -> Any:
        value = self.values.get(self.prefix + key)
        return default if value is None else value
