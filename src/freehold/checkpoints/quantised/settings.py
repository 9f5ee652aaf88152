"""What config.json says about how the weights are quantised: every key is honoured, known not to matter, or refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from freehold.errors import ConfigError

KEY = "quantization_config"


@dataclass(frozen=True, slots=True)
class Settings:
    """The object under `quantization_config`.

    Attributes:
        values: as parsed.
        source: the file, for messages.
    """

    values: Mapping[str, Any]
    source: str

    @staticmethod
    def of(config: Mapping[str, Any], source: str) -> Settings | None:
        """The settings in a parsed config.json, or None where the weights are plain.

        Models of several parts may have them beside the numbers of the part that writes text.

        Raises:
            ConfigError: they are not an object.
        """
        text = config.get("text_config")
        places = [config, text] if isinstance(text, Mapping) else [config]
        for place in places:
            if place.get("compression_config") is not None:
                raise Settings(place, source).refuse("compression_config", "none", within="")
            if place.get(KEY) is not None:
                if not isinstance(place[KEY], Mapping):
                    raise Settings(place, source).refuse(KEY, "an object", within="")
                return Settings(place[KEY], source)
        return None

    def check_keys(self, honoured: Collection[str], without_meaning: Collection[str]) -> None:
        """Refuse every other key that has a value.

        Args:
            honoured: keys that decide how the weights are read.
            without_meaning: keys about how the weights were made, or how another program computes with them.
        """
        for key, value in self.values.items():
            if key not in honoured and key not in without_meaning and value not in (None, {}, [], False):
                raise self.refuse(key, "none")

    def choice(self, key: str, choices: Collection[Any], default: Any = None) -> Any:
        """One of a few values, the default where it is absent or null. Booleans are not numbers here."""
        value = self.values.get(key)
        value = default if value is None else value
        if not any(type(value) is type(one) and value == one for one in choices):
            raise self.refuse(key, " or ".join(repr(one) for one in choices))
        return value

    def group_size(self, key: str = "group_size") -> int | None:
        """Inputs that share a scale, a multiple of 32; None where all do, written -1."""
        value = self.values.get(key)
        if type(value) is not int or not (value == -1 or (value > 0 and value % 32 == 0)):
            raise self.refuse(key, "-1 or a multiple of 32")
        return None if value == -1 else value

    def refuse(self, key: str, expected: str, within: str = f"{KEY}.") -> ConfigError:
        """The error for a value that cannot be honoured, to be raised by the caller."""
        found = f"is {self.values[key]!r:.80}" if key in self.values else "is absent"
        return ConfigError(
            f"{self.source}: `{within}{key}` {found}; supported: {expected}",
            hint="choose another quantisation of this model, its float weights, or a GGUF file",
        )
