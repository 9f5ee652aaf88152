"""What a model's answer consists of, as typed events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """The model calls a function.

    Attributes:
        index: of the call in this answer, from 0.
        call_id: tells the call apart from all others of the conversation; its result comes back with it.
        name: the function's name.
    """

    index: int
    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """A piece of a call's arguments; all pieces together are one JSON object.

    Attributes:
        index: which call they belong to, one that has started.
        text: the piece.
    """

    index: int
    text: str


Event: TypeAlias = Reasoning | Content | ToolCallStarted | ToolCallArguments
