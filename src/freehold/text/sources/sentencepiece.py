"""SentencePiece vocabularies: pieces with scores, put together as BPE or Unigram.

SentencePiece writes spaces as U+2581, usually puts one before a text, and falls back to bytes or to an unknown piece
for what it cannot spell. Its BPE merges the adjacent pair whose union has the highest score; as a list of merges, that
is every split of every piece, in order of score.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence

from tokenizers import AddedToken
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers.models import BPE, Unigram
from tokenizers.normalizers import Precompiled

from freehold.errors import TokenizerError
from freehold.text.content import Kind, Normalisation, Piece, SentencePieceContent
from freehold.text.encoders import SplittingEncoder, guarded
from freehold.text.sources.files import MAX_VOCABULARY
from freehold.text.sources.merges_of_pieces import merges_of_pieces
from freehold.text.spelling import WORD_BOUNDARY, byte_of_piece, sentencepiece
from freehold.text.tokenizer import Marks, Tokenizer, Vocabulary


def sentencepiece_tokenizer(
    pieces: Sequence[Piece], *, unigram: bool, normalisation: Normalisation, marks: Marks
) -> Tokenizer:
    """A tokenizer from SentencePiece pieces.

    Args:
        pieces: the vocabulary in order of id.
        unigram: the most probable cut (Unigram) instead of merges (BPE).
        normalisation: what happens to text first.
        marks: BOS, EOS and what is put around texts.

    Raises:
        TokenizerError: duplicate or malformed pieces, or none for text that the others cannot spell.
    """
    _check(pieces)
    special = {piece.text: index for index, piece in enumerate(pieces) if piece.kind is Kind.CONTROL}
    user_defined = [piece.text for piece in pieces if piece.kind is Kind.USER_DEFINED]
    build = _unigram if unigram else _bpe
    library = LibraryTokenizer(guarded("the vocabulary cannot be used", lambda: build(pieces)))
    library.add_tokens([AddedToken(text, special=False, normalized=False) for text in user_defined])
    unknown = next((index for index, piece in enumerate(pieces) if piece.kind is Kind.UNKNOWN), None)
    vocabulary = Vocabulary(
        size=len(pieces),
        piece=lambda token_id: pieces[token_id].text,
        spelling=sentencepiece(trimmed_spaces=_trimmed_spaces(normalisation)),
        special=special if unknown is None else {**special, pieces[unknown].text: unknown},
        raw=frozenset(special.values()),
    )
    encoder = SplittingEncoder(library, special, _preparation(normalisation))
    return Tokenizer(encoder, vocabulary, marks, lambda: SentencePieceContent(pieces, unigram, normalisation))


def _trimmed_spaces(normalisation: Normalisation) -> int:
    """How many spaces decoding removes from the start: the one that was put there, or all where none can be meant."""
    if normalisation.squeezes:
        return sys.maxsize
    return 1 if normalisation.prefix else 0


def _check(pieces: Sequence[Piece]) -> None:
    if not 0 < len(pieces) <= MAX_VOCABULARY:
        raise TokenizerError(f"a vocabulary of {len(pieces)} pieces, expected 1 to {MAX_VOCABULARY}")
    first: dict[str, int] = {}
    for index, piece in enumerate(pieces):
        if not piece.text:
            raise TokenizerError(f"piece {index} is empty")
        if first.setdefault(piece.text, index) != index:
            raise TokenizerError(f"pieces {first[piece.text]} and {index} are both {piece.text!r:.40}")
        if not math.isfinite(piece.score):
            raise TokenizerError(f"piece {index} ({piece.text!r:.40}) has the score {piece.score}")
        if piece.kind is Kind.BYTE and byte_of_piece(piece.text) is None:
            raise TokenizerError(f"byte piece {index} is {piece.text!r:.40}, expected <0x00> to <0xFF>")
    if not any(piece.kind in (Kind.BYTE, Kind.UNKNOWN) for piece in pieces):
        raise TokenizerError("the vocabulary has neither byte pieces nor an unknown piece, so some text has no tokens")


def _bpe(pieces: Sequence[Piece]) -> BPE:
    unknown = next((piece.text for piece in pieces if piece.kind is Kind.UNKNOWN), None)
    vocabulary = {
        piece.text: index for index, piece in enumerate(pieces) if piece.kind not in (Kind.CONTROL, Kind.UNUSED)
    }
    return BPE(
        vocab=vocabulary,
        merges=merges_of_pieces(pieces),
        unk_token=unknown,
        fuse_unk=True,
        byte_fallback=any(piece.kind is Kind.BYTE for piece in pieces),
    )


def _unigram(pieces: Sequence[Piece]) -> Unigram:
    unknown = next((index for index, piece in enumerate(pieces) if piece.kind is Kind.UNKNOWN), None)
    # Prepared text has no spaces, so a piece that begins with one cannot match: control tokens never come from text.
    hidden = (Kind.CONTROL, Kind.UNUSED, Kind.UNKNOWN)
    scored = [(" " + piece.text if piece.kind in hidden else piece.text, piece.score) for piece in pieces]
    byte_fallback = any(piece.kind is Kind.BYTE for piece in pieces)
    return Unigram(scored, unk_id=unknown, byte_fallback=byte_fallback)


def _preparation(normalisation: Normalisation) -> Callable[[str, bool], str]:
    """(text, whether it is at the start) -> the text as SentencePiece would cut it."""
    table = normalisation.character_map
    mapping = guarded("the character map cannot be used", lambda: Precompiled(table)) if table else None

    def prepare(text: str, begins: bool) -> str:
        if mapping is not None:
            text = guarded("the character map does not fit the text", lambda: mapping.normalize_str(text))
        if normalisation.squeezes:
            text = re.sub(" {2,}", " ", text).lstrip(" ")
        if text and normalisation.prefix and (begins or normalisation.prefix_everywhere):
            text = " " + text
        text = text.replace(" ", WORD_BOUNDARY)
        return text.rstrip(WORD_BOUNDARY) if normalisation.squeezes else text

    return prepare
