"""A request inside the engine: its sequence, its text, its listener and its clock."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import TypeAlias

from freehold.engine.admission import Admission
from freehold.engine.observer import Observer
from freehold.engine.sequence import Sequence
from freehold.engine.stopping import Continuation
from freehold.engine.types import FinishReason, Output, TokenOutput, Usage

Sink: TypeAlias = Callable[[Output], None]

logger = logging.getLogger(__name__)


class Job:
    """Lives on the engine's thread from submission to the last output.

    Args:
        sequence: what the scheduler knows of it.
        continuation: what its reader may see.
        sink: called with each output.
        admission: where its permit goes back to.
        observer: told of its times.
    """

    def __init__(
        self, sequence: Sequence, continuation: Continuation, sink: Sink, admission: Admission, observer: Observer
    ) -> None:
        self.sequence = sequence
        self._continuation = continuation
        self._sink = sink
        self._admission = admission
        self._observer = observer
        self._submitted = monotonic()
        self._previous: float | None = None
        self._started = False
        self._pushed = 0

    def start(self) -> None:
        """It is part of a step for the first time, or again."""
        if not self._started:
            self._started = True
            self._observe(lambda: self._observer.started(monotonic() - self._submitted))

    def push(self, token: TokenOutput) -> Output:
        """What a new token makes certain; an output with a finish_reason goes to `end`, any other to `send`."""
        now, previous = monotonic(), self._previous
        self._previous = now
        self._pushed += 1
        if previous is None:
            self._observe(lambda: self._observer.first_token(now - self._submitted))
        else:
            self._observe(lambda: self._observer.next_token(now - previous))
        return self._continuation.push(token)

    def send(self, output: Output) -> bool:
        """Pass an output on; False if the listener failed, so that nobody can be listening any more."""
        try:
            self._sink(output)
        except Exception:
            logger.exception("the listener of a request failed; the request is cancelled")
            return False
        return True

    def end(self, output: Output, reason: FinishReason, error: str | None) -> None:
        """Close the books and send the last output. The permit goes back first, for the listener may submit again."""
        usage = self.usage
        self._admission.finish(self._submitted)
        self._observe(lambda: self._observer.finished(reason, usage, monotonic() - self._submitted))
        self.send(replace(output, finish_reason=reason, usage=usage, error=error))

    @property
    def usage(self) -> Usage:
        """Tokens so far. The sequence may have more: those of a draft that were drawn after the text's end."""
        return Usage(self.sequence.prompt_length, self.sequence.cached or 0, self._pushed)

    def _observe(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            logger.exception("an observer of the engine failed")
