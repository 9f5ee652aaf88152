"""Responses of /v1/chat/completions: chunks of a stream, and whole answers folded from the very same chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from freehold.engine.types import TokenOutput
from freehold.server.generation import Piece
from freehold.server.openai.chat.deltas import Answer, message_of
from freehold.server.openai.choices import LEAST_LOGPROB, Choice
from freehold.server.openai.header import Header
from freehold.text.tokenizer import Tokenizer


class ChatWriter:
    """Turns pieces into the choices of chunks, and those into the choices of a whole answer.

    Args:
        answers: reads the text of each choice.
        logprobs: whether the request asked for them. There is an entry for every token, those of reasoning, of calls
            and of markers among them.
        enough: told of a choice of which no more is wanted.
    """

    chunk_kind = "chat.completion.chunk"
    whole_kind = "chat.completion"

    def __init__(
        self,
        header: Header,
        tokenizer: Tokenizer,
        answers: Sequence[Answer],
        *,
        logprobs: bool,
        enough: Callable[[int], None],
    ) -> None:
        self.header = header
        self._tokenizer = tokenizer
        self._answers = answers
        self._logprobs = logprobs
        self._enough = enough

    def opening(self) -> list[Choice]:
        """The chunks that come before any text: each choice's role."""
        return [
            self._chunk(index, {"role": "assistant", "content": "", "refusal": None})
            for index in range(len(self._answers))
        ]

    def chunks(self, piece: Piece) -> list[Choice]:
        """The chunks of a piece; none while its text is held back."""
        answer = self._answers[piece.choice]
        was_complete = answer.complete
        deltas = answer.deltas(piece)
        if piece.tokens and self._logprobs and not was_complete:
            deltas = deltas or [{"content": ""}]
        chunks = [
            self._chunk(piece.choice, delta, piece.tokens if number == 0 else ()) for number, delta in enumerate(deltas)
        ]
        if piece.finish_reason is not None:
            reason = answer.finish_reason(piece.finish_reason)
            chunks.append(self._chunk(piece.choice, {}, finish_reason=reason))
        elif answer.complete and not was_complete:
            self._enough(piece.choice)
        return chunks

    def whole(self, chunks: Iterable[Choice]) -> list[Choice]:
        """The choices of the whole answer."""
        parts: list[list[Choice]] = [[] for _ in self._answers]
        for chunk in chunks:
            parts[chunk["index"]].append(chunk)
        return [self._choice(index, own) for index, own in enumerate(parts)]

    def _choice(self, index: int, chunks: Sequence[Choice]) -> Choice:
        entries = [entry for chunk in chunks if chunk["logprobs"] for entry in chunk["logprobs"]["content"]]
        return {
            "index": index,
            "message": message_of(chunk["delta"] for chunk in chunks),
            "logprobs": {"content": entries, "refusal": None} if self._logprobs else None,
            "finish_reason": chunks[-1]["finish_reason"],
        }

    def _chunk(
        self,
        index: int,
        delta: dict[str, object],
        tokens: tuple[TokenOutput, ...] = (),
        finish_reason: str | None = None,
    ) -> Choice:
        entries = [self._entry(token) for token in tokens] if self._logprobs else []
        logprobs = {"content": entries, "refusal": None} if entries else None
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}

    def _entry(self, token: TokenOutput) -> dict[str, object]:
        top = [self._spelled(token_id, logprob) for token_id, logprob in token.top]
        return {**self._spelled(token.token_id, token.logprob), "top_logprobs": top}

    def _spelled(self, token_id: int, logprob: float | None) -> dict[str, object]:
        return {
            "token": self._tokenizer.token_text(token_id),
            "logprob": LEAST_LOGPROB if logprob is None else max(logprob, LEAST_LOGPROB),
            "bytes": list(self._tokenizer.token_bytes(token_id)),
        }
