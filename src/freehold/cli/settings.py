"""What `/set` changes in a chat."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, cast

from freehold.cli.conversation import Conversation
from freehold.generation import GenerationOptions
from freehold.store.names import nearest

DEFAULT = "default"


class SettingError(Exception):
    """The assignment was not understood."""


def _words(text: str) -> list[str]:
    return shlex.split(text)


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "min_p": float,
    "repetition_penalty": float,
    "presence_penalty": float,
    "frequency_penalty": float,
    "max_tokens": int,
    "seed": int,
    "stop": _words,
}
_KINDS: dict[object, str] = {float: "a number", int: "an integer", _words: "strings, quoted where they hold spaces"}
_SWITCH = {"on": True, "off": False}
NAMES = [*_OPTIONS, "system", "verbose"]


class Settings:
    """The options of a conversation by name; `default` as a value gives one back to the model's recommendation.

    Attributes:
        verbose: whether timings are printed.
    """

    def __init__(self, conversation: Conversation, verbose: bool) -> None:
        self._conversation = conversation
        self.verbose = verbose

    def assign(self, assignment: str) -> None:
        """Carry out `NAME VALUE`.

        Raises:
            SettingError: no such setting, or not a value for it.
            InvalidRequest: the value is out of range.
        """
        name, _, value = assignment.removeprefix("parameter ").partition(" ")
        value = value.strip()
        if name not in NAMES:
            close = nearest(name, NAMES)
            raise SettingError(f"there is no setting {name}" + (f"; did you mean {close[0]}?" if close else ""))
        if not value:
            raise SettingError(f"/set {name} needs a value, or {DEFAULT}")
        if name == "system":
            self._conversation.set_system(None if value == DEFAULT else value)
        elif name == "verbose":
            self.verbose = self._switch(value)
        else:
            self._set_option(name, value)

    def listing(self) -> str:
        """Every setting and its value, one to a line."""
        options = self._conversation.options
        recommended = self._conversation.model.recommended
        lines = []
        for name in _OPTIONS:
            own = cast(dict[str, Any], options).get(name)
            value = f"{own}" if own is not None else f"{getattr(recommended, name, None)} ({DEFAULT})"
            lines.append(f"{name:<19} {value}")
        lines.append(f"{'system':<19} {self._conversation.system or 'none'}")
        lines.append(f"{'verbose':<19} {'on' if self.verbose else 'off'}")
        return "\n".join(lines)

    def _set_option(self, name: str, value: str) -> None:
        options = dict(self._conversation.options)
        options.pop(name, None)
        if value != DEFAULT:
            try:
                options[name] = _OPTIONS[name](value)
            except ValueError as error:
                raise SettingError(f"{name} must be {_KINDS[_OPTIONS[name]]}, not {value!r}") from error
        checked = cast(GenerationOptions, options)
        self._conversation.check(checked)
        self._conversation.options = checked

    @staticmethod
    def _switch(value: str) -> bool:
        if value not in (*_SWITCH, DEFAULT):
            raise SettingError(f"verbose must be on or off, not {value!r}")
        return _SWITCH.get(value, False)
