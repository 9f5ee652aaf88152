"""What the engine tells those who count: timings of single requests, and totals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from freehold.engine.types import DraftSource, FinishReason, Usage


class Observer:
    """Called from the engine's thread as requests go by; must return at once. Override what is of interest.

    Times are in seconds. An exception from an observer is logged and otherwise ignored.
    """

    def started(self, queued: float) -> None:
        """A request left the queue after `queued` seconds in it. Not called again when it resumes after pre-emption."""

    def first_token(self, since_submit: float) -> None:
        """A request's first token was generated."""

    def next_token(self, since_previous: float) -> None:
        """A further token was generated."""

    def finished(self, reason: FinishReason, usage: Usage, since_submit: float) -> None:
        """A request ended, in whatever way. Called exactly once for every submitted request."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot of the engine.

    Attributes:
        running, waiting: sequences being computed, and those in the queue.
        blocks_total: cache blocks there are; the three below add up to it.
        blocks_used: blocks that running sequences hold.
        blocks_cached: blocks that nobody holds and that are kept for later requests with the same beginning.
        blocks_free: empty blocks.
        preemptions: times a running sequence had to give its blocks back, since the start.
        prompt_tokens, cached_tokens, generated_tokens: of all requests since the start; cached_tokens are those of
            prompt_tokens that came from the prefix cache.
        drafted, accepted: tokens computed on the guess that they come next, since the start, by what guessed them, and
            those of them that came.
    """

    running: int
    waiting: int
    blocks_total: int
    blocks_used: int
    blocks_cached: int
    blocks_free: int
    preemptions: int
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    drafted: Mapping[DraftSource, int]
    accepted: Mapping[DraftSource, int]

    @property
    def drafted_tokens(self) -> int:
        """From all sources."""
        return sum(self.drafted.values())

    @property
    def accepted_tokens(self) -> int:
        """From all sources."""
        return sum(self.accepted.values())
