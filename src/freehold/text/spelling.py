"""How the pieces of a vocabulary spell bytes.

A vocabulary stores strings, a model emits tokens, and a person reads text: between the first and the last stands one
of a few conventions. `Spelling` is such a convention, as a list of small steps from a piece to the bytes it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

WORD_BOUNDARY = "\u2581"  # SentencePiece writes a space as this lower block
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable character for each of the 256 bytes: itself where printable, else one from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(0x100 + index): byte for index, byte in enumerate(hidden)})
    return alphabet


BYTE_OF_CHARACTER = _byte_alphabet()
_CHARACTER_OF_BYTE = {byte: character for character, byte in BYTE_OF_CHARACTER.items()}


def to_byte_alphabet(data: bytes) -> str:
    """Bytes as a byte-level vocabulary writes them, one character per byte."""
    return data.decode("latin-1").translate(_CHARACTER_OF_BYTE)


def byte_of_piece(piece: str) -> int | None:
    """The byte that a piece like `<0x0A>` stands for, or None when the piece is not of that form."""
    found = _BYTE_PIECE.fullmatch(piece)
    return int(found[1], 16) if found else None


Step = Callable[["str | bytes", bool], "str | bytes"]
"""One step from piece to bytes: (what the steps before it made, whether it opens the text) -> what it became."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """A vocabulary's convention.

    Attributes:
        steps: applied in order to each piece; what is still a string at the end is encoded as UTF-8.
        trim: bytes removed from the very start of a text, as often as `trim_limit` says.
        trim_limit: how many times `trim` may be removed.
        raw_added: whether tokens added to the vocabulary are stored as plain text rather than in this convention.
    """

    steps: tuple[Step, ...] = ()
    trim: bytes = b""
    trim_limit: int = 0
    raw_added: bool = False

    def spell(self, piece: str, *, opens: bool) -> bytes:
        """The bytes of a piece; `opens` says that it is the first of its text."""
        value: str | bytes = piece
        for step in self.steps:
            value = step(value, opens)
        return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")


def replace(old: str, new: str) -> Step:
    """Replaces a character wherever it stands."""
    return lambda value, opens: value if isinstance(value, bytes) else value.replace(old, new)


def byte_fallback(value: str | bytes, opens: bool) -> str | bytes:
    """Turns pieces like `<0x0A>` into their byte."""
    if isinstance(value, bytes) or not value.startswith("<0x"):
        return value
    byte = byte_of_piece(value)
    return value if byte is None else bytes((byte,))


def byte_level(value: str | bytes, opens: bool) -> str | bytes:
    """Turns GPT-2's characters back into bytes; a piece with any other character is plain text."""
    if isinstance(value, bytes):
        return value
    try:
        return bytes([BYTE_OF_CHARACTER[character] for character in value])
    except KeyError:
        return value


def metaspace(mark: str, *, drop_first: bool) -> Step:
    """Turns a mark into a space, or at the start of the text into nothing."""
    return lambda value, opens: (
        value if isinstance(value, bytes) else value.replace(mark, "" if opens and drop_first else " ")
    )


def strip_left(content: str, limit: int) -> Step:
    """Removes up to `limit` copies of `content` from the left of each piece."""

    def step(value: str | bytes, opens: bool) -> str | bytes:
        if isinstance(value, bytes):
            return value
        for _ in range(limit):
            value = value.removeprefix(content)
        return value

    return step


_TIDIED = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
           (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))  # fmt: skip


def wordpiece(continuation: str, *, tidy: bool) -> Step:
    """Joins words by spaces and continuations (`##ing`) directly; `tidy` removes spaces before punctuation."""

    def step(value: str | bytes, opens: bool) -> str | bytes:
        if isinstance(value, bytes):
            return value
        if not opens:
            value = value.removeprefix(continuation) if value.startswith(continuation) else " " + value
        if tidy:
            for spaced, joined in _TIDIED:
                value = value.replace(spaced, joined)
        return value

    return step


BYTE_LEVEL = Spelling((byte_level,), raw_added=True)
SPACE_JOINED = Spelling((lambda value, opens: value if opens or isinstance(value, bytes) else " " + value,))


def sentencepiece(*, trimmed_spaces: int) -> Spelling:
    """SentencePiece's convention; at most so many spaces are removed from the start of a text."""
    return Spelling((byte_fallback, replace(WORD_BOUNDARY, " ")), trim=b" ", trim_limit=trimmed_spaces)
