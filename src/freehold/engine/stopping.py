"""From generated tokens to text that is certain, and to the end of a sequence."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from freehold.engine.stop_strings import StopStrings
from freehold.engine.types import FinishReason, Output, StopOptions, TokenOutput


class Detokeniser(Protocol):
    """Turns the tokens of one sequence into text, whole characters only."""

    def push(self, token_id: int) -> str:
        """The text that became complete with this token."""
        ...

    def finish(self) -> str:
        """What was held back for a character that never became complete."""
        ...


@dataclass(slots=True)
class _Span:
    """Where a token's text lies in the whole text; `end` is None until a character completes it."""

    token: TokenOutput
    start: int
    end: int | None = None


class Continuation:
    """Follows one sequence and says what its reader may see.

    Text is held back while it may turn out to belong to a stop string. A token is handed out together with the last of
    its text. Tokens that end the sequence, and tokens all of whose text is cut off, are not handed out.

    Args:
        stop: the request's wishes.
        end_ids: the model's own end-of-sequence ids.
        most_tokens: tokens after which the sequence ends at the latest.
        detokeniser: of this sequence; None for a model without a tokenizer, whose tokens have no text.
    """

    def __init__(
        self, stop: StopOptions, end_ids: Collection[int], most_tokens: int, detokeniser: Detokeniser | None
    ) -> None:
        self._end_ids = frozenset(stop.token_ids) | (frozenset() if stop.ignore_eos else frozenset(end_ids))
        self._most_tokens = most_tokens
        self._detokeniser = detokeniser
        self._stops = StopStrings(stop.strings)
        self._tokens = 0
        self._held = ""  # read by the stop strings, not yet handed out
        self._handed_out = 0  # characters
        self._spans: deque[_Span] = deque()

    def push(self, token: TokenOutput) -> Output:
        """Take the next token; an output with a finish_reason is the last one."""
        self._tokens += 1
        if token.token_id in self._end_ids:
            return self._finish(FinishReason.STOP)
        self._spans.append(_Span(token, self._handed_out + len(self._held)))
        if self._detokeniser is None:
            self._complete_spans()
        else:
            self._read(self._detokeniser.push(token.token_id))
        if self._stops.cut is not None:
            return self._release(FinishReason.STOP)
        if self._tokens == self._most_tokens:
            return self._finish(FinishReason.LENGTH)
        return self._release(None)

    def _finish(self, reason: FinishReason) -> Output:
        if self._detokeniser is not None:
            self._read(self._detokeniser.finish())
        self._stops.finish()
        self._complete_spans()
        return self._release(FinishReason.STOP if self._stops.cut is not None else reason)

    def _read(self, text: str) -> None:
        self._stops.push(text)
        self._held += text
        if text:
            self._complete_spans()

    def _complete_spans(self) -> None:
        """Tokens that were waiting for a character have all of their text now."""
        end = self._handed_out + len(self._held)
        for span in reversed(self._spans):
            if span.end is not None:
                break
            span.end = end

    def _release(self, reason: FinishReason | None) -> Output:
        count = self._stops.settled - self._handed_out
        text, self._held = self._held[:count], self._held[count:]
        self._handed_out += count
        tokens = []
        while self._spans and self._is_certain(self._spans[0], self._stops.cut):
            tokens.append(self._spans.popleft().token)
        return Output(text, tuple(tokens), reason)

    def _is_certain(self, span: _Span, cut: int | None) -> bool:
        if cut is not None:
            return span.start < cut
        return span.end is not None and span.end <= self._handed_out
