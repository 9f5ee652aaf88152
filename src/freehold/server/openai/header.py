"""What every object of one response has in common."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from time import time

from freehold.engine.types import Usage


def _now() -> int:
    return int(time())


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Repeated in every chunk of a stream.

    Attributes:
        prefix: of the id: what kind of response it is.
        model: the name of the model that answers, also where an alias was asked for.
        fingerprint: OpenAI's system_fingerprint.
        extra: fields that only come back when the request had them.
    """

    prefix: str
    model: str
    fingerprint: str
    extra: dict[str, object] = field(default_factory=dict)
    token: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=_now)

    def json(self, kind: str, choices: list[dict[str, object]]) -> dict[str, object]:
        """An object of this response, all but its usage."""
        return {
            "id": f"{self.prefix}-{self.token}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
            **self.extra,
        }


def usage_json(usage: Usage) -> dict[str, object]:
    """OpenAI's CompletionUsage."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
