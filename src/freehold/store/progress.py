"""How long-running work says how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called often: what is being done, how much of it is done, and how much there is, in one unit."""

    def __call__(self, stage: str, done: int, total: int, /) -> None: ...


def silent(stage: str, done: int, total: int, /) -> None:
    """Report to nobody."""
