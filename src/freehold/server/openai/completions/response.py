"""Responses of /v1/completions: chunks of a stream, and whole answers folded from the very same chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from freehold.engine.types import TokenOutput
from freehold.server.generation import Piece
from freehold.server.openai.choices import LEAST_LOGPROB, Choice
from freehold.server.openai.header import Header
from freehold.text.tokenizer import Tokenizer


class CompletionWriter:
    """Turns pieces into the choices of chunks, and those into the choices of a whole answer.

    Args:
        echoes: for each choice the text that comes before what is generated; "" where none was asked for.
        logprobs: whether the request asked for them.
    """

    chunk_kind = "text_completion"
    whole_kind = "text_completion"

    def __init__(self, header: Header, tokenizer: Tokenizer, *, echoes: Sequence[str], logprobs: bool) -> None:
        self.header = header
        self._echoes = echoes
        self._columns = [_Columns(tokenizer) for _ in echoes] if logprobs else None

    def opening(self) -> list[Choice]:
        """The chunks that come before any generated text: echoes of the prompts."""
        return [_choice(index, echo) for index, echo in enumerate(self._echoes) if echo]

    def chunks(self, piece: Piece) -> list[Choice]:
        """The chunks of a piece; none while its text is held back."""
        tokens = piece.tokens if self._columns is not None else ()
        if not (piece.text or tokens or piece.finish_reason):
            return []
        logprobs = self._columns[piece.choice].of(tokens) if self._columns is not None and tokens else None
        return [_choice(piece.choice, piece.text, logprobs, piece.finish_reason)]

    def whole(self, chunks: Iterable[Choice]) -> list[Choice]:
        """The choices of the whole answer."""
        empty = None if self._columns is None else _empty_columns()
        choices = [_choice(index, "", empty and _empty_columns()) for index in range(len(self._echoes))]
        for chunk in chunks:
            choice = choices[chunk["index"]]
            choice["text"] += chunk["text"]
            choice["finish_reason"] = chunk["finish_reason"] or choice["finish_reason"]
            for name, column in (chunk["logprobs"] or {}).items():
                choice["logprobs"][name] += column
        return choices


class _Columns:
    """The log-probabilities of one choice in OpenAI's older shape, column by column."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._text = tokenizer.detokeniser(continues=True)
        self._offset = 0

    def of(self, tokens: Sequence[TokenOutput]) -> dict[str, list[object]]:
        """Columns of the next tokens; an offset counts the characters generated before the token begins."""
        columns = _empty_columns()
        for token in tokens:
            logprob = LEAST_LOGPROB if token.logprob is None else max(token.logprob, LEAST_LOGPROB)
            spelled = self._spell(token.token_id)
            top: dict[str, float] = {}
            for token_id, value in token.top:
                top.setdefault(self._spell(token_id), max(value, LEAST_LOGPROB))  # of two spelled alike, the likelier
            columns["tokens"].append(spelled)
            columns["token_logprobs"].append(logprob)
            columns["top_logprobs"].append({**top, spelled: logprob})
            columns["text_offset"].append(self._offset)
            self._offset += len(self._text.push(token.token_id))
        return columns

    def _spell(self, token_id: int) -> str:
        """The token's text; one that is part of a character is spelled as OpenAI does, `bytes:\\xf0\\x9f`."""
        data = self._tokenizer.token_bytes(token_id)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _empty_columns() -> dict[str, list[object]]:
    return {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}


def _choice(
    index: int, text: str, logprobs: dict[str, list[object]] | None = None, finish_reason: str | None = None
) -> Choice:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
