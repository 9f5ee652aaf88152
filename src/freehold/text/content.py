"""What a tokenizer consists of, independent of the files it came from: enough to write it in another format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from freehold.text.pretokenizers import PreTokenizer


class Kind(IntEnum):
    """What a piece is; the numbers are those of SentencePiece and of GGUF's `tokenizer.ggml.token_type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of a vocabulary; its id is its place."""

    text: str
    score: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What happens to text before SentencePiece cuts it.

    Attributes:
        prefix: a space is put before texts.
        prefix_everywhere: also before text that follows a control token.
        squeezes: runs of spaces become one, and none is left at the ends.
        character_map: SentencePiece's compiled table of replacements, or empty.
    """

    prefix: bool = True
    prefix_everywhere: bool = True
    squeezes: bool = False
    character_map: bytes = b""


@dataclass(frozen=True, slots=True)
class SentencePieceContent:
    """Pieces with scores, cut by BPE or as a Unigram model."""

    pieces: Sequence[Piece]
    unigram: bool
    normalisation: Normalisation


@dataclass(frozen=True, slots=True)
class ByteLevelContent:
    """GPT-2's kind of vocabulary.

    Attributes:
        pieces: ordinary pieces in the byte alphabet -> id.
        merges: pairs of pieces, the first to be merged first.
        convention: how text is cut into words.
        special: control tokens as plain text -> id.
        user_defined: other tokens that are always matched whole, as plain text -> id.
    """

    pieces: Mapping[str, int]
    merges: Sequence[tuple[str, str]]
    convention: PreTokenizer
    special: Mapping[str, int]
    user_defined: Mapping[str, int]


Content = SentencePieceContent | ByteLevelContent
