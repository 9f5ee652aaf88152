"""What the writers of chat and completions have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

from freehold.server.generation import Piece
from freehold.server.openai.header import Header

Choice: TypeAlias = dict[str, Any]
"""A choice of a chunk or of a whole answer, as JSON."""

LEAST_LOGPROB = -9999.0
"""What OpenAI's API says instead of minus infinity, which JSON does not have."""


class Writer(Protocol):
    """Turns pieces into the choices of chunks, and those into the choices of a whole answer.

    Attributes:
        chunk_kind, whole_kind: OpenAI's `object`.
    """

    header: Header
    chunk_kind: str
    whole_kind: str

    def opening(self) -> list[Choice]: ...
    def chunks(self, piece: Piece) -> list[Choice]: ...
    def whole(self, chunks: Iterable[Choice]) -> list[Choice]: ...
