"""Byte-level BPE: GPT-2's invention, used by most current models. Built from pieces and merges, or from ranks alone."""

from __future__ import annotations

from collections.abc import Mapping

from tokenizers import AddedToken, Regex
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

from freehold.errors import TokenizerError
from freehold.text.content import ByteLevelContent
from freehold.text.encoders import SplittingEncoder, guarded
from freehold.text.pretokenizers import PreTokenizer
from freehold.text.sources.files import MAX_VOCABULARY, check_splitting
from freehold.text.spelling import BYTE_LEVEL, BYTE_OF_CHARACTER
from freehold.text.tokenizer import Marks, Tokenizer, Vocabulary

_UTF8 = frozenset(range(256)) - {0xC0, 0xC1, *range(0xF5, 0x100)}  # the bytes that occur in text


def merges_from_ranks(ranks: Mapping[str, int]) -> list[tuple[str, str]]:
    """The merges of a vocabulary in which a pair's rank is the id of what it makes (tiktoken's rule).

    Args:
        ranks: piece -> rank.

    Returns:
        Every pair of pieces that makes a piece, in order of rank.

    Raises:
        TokenizerError: more long pieces than can be split in good time.
    """
    check_splitting(ranks)
    return [
        (piece[:cut], piece[cut:])
        for piece in sorted(ranks, key=ranks.__getitem__)
        for cut in range(1, len(piece))
        if piece[:cut] in ranks and piece[cut:] in ranks
    ]


def byte_level_tokenizer(
    pieces: Mapping[str, int],
    merges: list[tuple[str, str]],
    convention: PreTokenizer,
    *,
    special: Mapping[str, int],
    user_defined: Mapping[str, int],
    marks: Marks,
) -> Tokenizer:
    """A byte-level tokenizer.

    Args:
        pieces: ordinary pieces in the byte alphabet -> id.
        merges: pairs of pieces, the first to be merged first.
        convention: how text is cut into words.
        special: control tokens as plain text -> id.
        user_defined: other tokens that are always matched whole, as plain text -> id.
        marks: BOS, EOS and what is put around texts.

    Raises:
        TokenizerError: pieces that cannot spell every text, or ids and merges that contradict each other.
    """
    missing = [byte for character, byte in BYTE_OF_CHARACTER.items() if byte in _UTF8 and character not in pieces]
    if missing:
        raise TokenizerError(f"{len(missing)} bytes of UTF-8 have no piece, byte {min(missing):#04x} among them")
    names = _names_by_id(pieces, user_defined, special)
    model = guarded(
        "the merges do not fit the vocabulary",
        lambda: BPE(
            vocab={**pieces, **user_defined}, merges=merges, ignore_merges=convention.whole_words, dropout=None
        ),
    )
    library = LibraryTokenizer(model)
    if convention.composes:
        library.normalizer = NFC()
    library.pre_tokenizer = guarded("the pattern cannot be used", lambda: pre_tokenizer_of(convention))
    library.add_tokens([AddedToken(text, special=False, normalized=False) for text in user_defined])
    vocabulary = Vocabulary(
        size=max(names) + 1,
        piece=names.get,
        spelling=BYTE_LEVEL,
        special=special,
        raw=frozenset(special.values()) | frozenset(user_defined.values()),
    )
    content = ByteLevelContent(pieces, merges, convention, special, user_defined)
    return Tokenizer(SplittingEncoder(library, special), vocabulary, marks, lambda: content)


def pre_tokenizer_of(convention: PreTokenizer) -> Sequence:
    """The library's pre-tokenizer for a convention, ending in the byte alphabet."""
    splits = [Split(Regex(pattern), behavior="isolated") for pattern in convention.patterns]
    return Sequence([*splits, ByteLevel(add_prefix_space=False, use_regex=False)])


def _names_by_id(*groups: Mapping[str, int]) -> dict[int, str]:
    """id -> piece over all groups; an id may be given only once."""
    names: dict[int, str] = {}
    for group in groups:
        for piece, token_id in group.items():
            if not 0 <= token_id < MAX_VOCABULARY:
                raise TokenizerError(f"the piece {piece!r:.40} has id {token_id}, outside 0 to {MAX_VOCABULARY - 1}")
            if names.setdefault(token_id, piece) != piece:
                raise TokenizerError(f"id {token_id} stands for both {names[token_id]!r:.40} and {piece!r:.40}")
    return names
