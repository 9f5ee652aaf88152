"""WordPiece, BERT's vocabulary: whole words, and continuations that are written `##ing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from freehold.errors import TokenizerError
from freehold.text import spelling
from freehold.text.encoders import SplittingEncoder, guarded
from freehold.text.tokenizer import Marks, Tokenizer, Vocabulary

CONTINUATION = "##"
_MAX_WORD = 100


def wordpiece_tokenizer(
    pieces: Sequence[str], *, special: Mapping[str, int], unknown_id: int, lowercases: bool, marks: Marks
) -> Tokenizer:
    """A WordPiece tokenizer.

    Args:
        pieces: the vocabulary in order of id; continuations begin with `##`.
        special: control tokens -> id.
        unknown_id: the id for words that the pieces cannot spell.
        lowercases: text is lower-cased and loses its accents.
        marks: BOS ([CLS]), EOS ([SEP]) and what is put around texts.

    Raises:
        TokenizerError: repeated pieces, or no piece with the unknown id.
    """
    ids = {piece: index for index, piece in enumerate(pieces)}
    if len(ids) != len(pieces):
        raise TokenizerError(f"the vocabulary has {len(pieces)} pieces, {len(ids)} of them different")
    if unknown_id >= len(pieces):
        raise TokenizerError(f"the unknown token has id {unknown_id}, the vocabulary has {len(pieces)} pieces")
    unknown = pieces[unknown_id]
    ordinary = {piece: index for piece, index in ids.items() if piece not in special or piece == unknown}
    model = guarded(
        "the vocabulary cannot be used",
        lambda: WordPiece(
            ordinary,
            unk_token=unknown,
            max_input_chars_per_word=_MAX_WORD,
            continuing_subword_prefix=CONTINUATION,
        ),
    )
    library = LibraryTokenizer(model)
    library.normalizer = BertNormalizer(lowercase=lowercases)
    library.pre_tokenizer = BertPreTokenizer()
    vocabulary = Vocabulary(
        size=len(pieces),
        piece=lambda token_id: pieces[token_id],
        spelling=spelling.Spelling((spelling.wordpiece(CONTINUATION, tidy=True),)),
        special=special,
        raw=frozenset(special.values()),
    )
    return Tokenizer(SplittingEncoder(library, special), vocabulary, marks)
