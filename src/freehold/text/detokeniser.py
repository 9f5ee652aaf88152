"""Text out of tokens, one token at a time.

The text of a list of tokens is defined here and nowhere else: the bytes that the tokens stand for, joined, less the
space that some vocabularies put before a text, read as UTF-8 with one U+FFFD per invalid sequence (the longest valid
prefix of a character counts as one, as the Unicode standard recommends). `Tokenizer.decode` and `Detokeniser` both
follow it, so what a stream adds up to is what decoding at the end gives, byte for byte.

Control tokens that a reader asks to be shown stand in the text as `CONTROL_MARK` and their name. No other text holds
that mark, so what a model spells out in ordinary tokens is never taken for a control token.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from types import MappingProxyType

CONTROL_MARK = "\udc00"
"""Half of a surrogate pair, which is no character: reading UTF-8 never gives one."""

_new_decoder = codecs.getincrementaldecoder("utf-8")


class Detokeniser:
    """Turns tokens into text as they come, holding back what is not certain yet.

    Args:
        spell: (token id, whether it opens the text) -> its bytes, or None for a token that is left out.
        trim: bytes removed from the start of the text.
        trim_limit: how many times `trim` may be removed.
        continues: the text goes on from an earlier one, so that nothing is removed from its start.
        shown: the names of control tokens that are to be seen in the text, by their ids.
    """

    def __init__(
        self,
        spell: Callable[[int, bool], bytes | None],
        *,
        trim: bytes,
        trim_limit: int,
        continues: bool,
        shown: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        self._spell = spell
        self._shown = shown
        self._opens = not continues
        self._trim = trim
        self._trims_left = trim_limit if trim and not continues else 0
        self._start = b""
        self._decoder = _new_decoder("replace")

    def push(self, token_id: int) -> str:
        """The text that this token makes certain: whole characters only, often none.

        Raises:
            TokenizerError: a negative id.
        """
        if token_id in self._shown:
            self._opens = False
            return f"{self.finish()}{CONTROL_MARK}{self._shown[token_id]}"
        data = self._spell(token_id, self._opens)
        if data is None:
            return ""
        self._opens = False
        if self._trims_left:
            data = self._trimmed(data)
        return self._decoder.decode(data)

    def finish(self) -> str:
        """The rest: bytes still waiting for the end of a character become U+FFFD."""
        start, self._start, self._trims_left = self._start, b"", 0
        return self._decoder.decode(start, final=True)

    def _trimmed(self, data: bytes) -> bytes:
        """Data without the trim at the start of the text; keeps back what might still become one."""
        data, self._start = self._start + data, b""
        while self._trims_left and data.startswith(self._trim):
            data = data.removeprefix(self._trim)
            self._trims_left -= 1
        if self._trims_left and self._trim.startswith(data):
            self._start = data
            return b""
        self._trims_left = 0
        return data
