"""SentencePiece's scores as a list of merges."""

from __future__ import annotations

from collections.abc import Sequence

from freehold.text.content import Kind, Piece
from freehold.text.sources.files import check_splitting


def merges_of_pieces(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    """Every split of every ordinary piece into two others, the highest score first.

    Raises:
        TokenizerError: more long pieces than can be split in good time.
    """
    check_splitting(piece.text for piece in pieces)
    normal = [piece for piece in pieces if piece.kind is Kind.NORMAL]
    known = {piece.text for piece in normal}
    return [
        (piece.text[:cut], piece.text[cut:])
        for piece in sorted(normal, key=lambda piece: -piece.score)
        for cut in range(1, len(piece.text))
        if piece.text[:cut] in known and piece.text[cut:] in known
    ]
