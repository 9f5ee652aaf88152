"""Responses of /v1/chat/completions: chunks of a stream, and whole answers folded from the very same chunks."""

from __future__ import annotations

from collections.abc import Iterable

from freehold.engine.types import TokenOutput
from freehold.server.generation import Piece
from freehold.server.openai.choices import LEAST_LOGPROB, Choice
from freehold.server.openai.header import Header
from freehold.text.tokenizer import Tokenizer


class ChatWriter:
    """Turns pieces into the choices of chunks, and those into the choices of a whole answer.

    Args:
        count: how many choices there are.
        logprobs: whether the request asked for them.
    """

    chunk_kind = "chat.completion.chunk"
    whole_kind = "chat.completion"

    def __init__(self, header: Header, tokenizer: Tokenizer, *, count: int, logprobs: bool) -> None:
        self.header = header
        self._tokenizer = tokenizer
        self._count = count
        self._logprobs = logprobs

    def opening(self) -> list[Choice]:
        """The chunks that come before any text: each choice's role."""
        return [
            self._chunk(index, {"role": "assistant", "content": "", "refusal": None}) for index in range(self._count)
        ]

    def chunks(self, piece: Piece) -> list[Choice]:
        """The chunks of a piece; none while its text is held back."""
        chunks = []
        if piece.text or (piece.tokens and self._logprobs):
            chunks.append(self._chunk(piece.choice, {"content": piece.text}, piece.tokens))
        if piece.finish_reason is not None:
            chunks.append(self._chunk(piece.choice, {}, finish_reason=piece.finish_reason))
        return chunks

    def whole(self, chunks: Iterable[Choice]) -> list[Choice]:
        """The choices of the whole answer."""
        answers = [_Answer() for _ in range(self._count)]
        for chunk in chunks:
            answers[chunk["index"]].add(chunk)
        return [answer.choice(index, self._logprobs) for index, answer in enumerate(answers)]

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


class _Answer:
    """A choice as it is put together."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._entries: list[object] = []
        self._finish_reason: str | None = None

    def add(self, chunk: Choice) -> None:
        self._text.append(chunk["delta"].get("content", ""))
        if chunk["logprobs"] is not None:
            self._entries += chunk["logprobs"]["content"]
        self._finish_reason = chunk["finish_reason"] or self._finish_reason

    def choice(self, index: int, logprobs: bool) -> Choice:
        return {
            "index": index,
            "message": {"role": "assistant", "content": "".join(self._text), "refusal": None},
            "logprobs": {"content": self._entries, "refusal": None} if logprobs else None,
            "finish_reason": self._finish_reason,
        }
