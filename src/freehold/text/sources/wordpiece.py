"""WordPiece, BERT's vocabulary: whole words, and continuations that are written `##ing`.

The first releases have it in `vocab.txt`, a piece per line; tokenizer_config.json says how text is normalised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from freehold.errors import TokenizerError
from freehold.text import spelling
from freehold.text.encoders import SplittingEncoder, guarded
from freehold.text.sources.files import (
    MAX_TOKENIZER_BYTES,
    MAX_VOCABULARY,
    optional_flag,
    read_json_object,
    read_text,
)
from freehold.text.tokenizer import Marks, Tokenizer, Vocabulary

CONTINUATION = "##"
_MAX_WORD = 100
_UNKNOWN, _OPENING, _CLOSING = "[UNK]", "[CLS]", "[SEP]"
_SPECIAL = (_UNKNOWN, _OPENING, _CLOSING, "[PAD]", "[MASK]")


@dataclass(frozen=True, slots=True)
class WordNormalisation:
    """What happens to a text before it is cut.

    Attributes:
        lowercases: it is lower-cased.
        strips_accents: it loses its accents; None for where it is lower-cased.
        splits_chinese: every Chinese character becomes a word.
    """

    lowercases: bool = True
    strips_accents: bool | None = None
    splits_chinese: bool = True


def vocab_txt_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer from `vocab.txt` and the tokenizer_config.json beside it.

    Raises:
        TokenizerError: a damaged file, or one without the tokens [UNK], [CLS] and [SEP].
    """
    pieces = read_text(path, MAX_TOKENIZER_BYTES).split("\n")
    if pieces[-1] == "":
        pieces.pop()
    if len(pieces) > MAX_VOCABULARY:
        raise TokenizerError(f"{path.name} has {len(pieces)} lines, more than the {MAX_VOCABULARY} that are read")
    pieces = [piece.rstrip("\r") for piece in pieces]
    ids = {piece: index for index, piece in enumerate(pieces)}
    missing = [name for name in (_UNKNOWN, _OPENING, _CLOSING) if name not in ids]
    if missing:
        raise TokenizerError(f"{path.name} has no {' and no '.join(missing)}")
    beside = path.with_name("tokenizer_config.json")
    settings = read_json_object(beside) if beside.exists() else {}
    lowercases = optional_flag(settings, "do_lower_case", beside.name)
    splits = optional_flag(settings, "tokenize_chinese_chars", beside.name)
    opening, closing = ids[_OPENING], ids[_CLOSING]
    return wordpiece_tokenizer(
        pieces,
        special={name: ids[name] for name in _SPECIAL if name in ids},
        unknown_id=ids[_UNKNOWN],
        normalisation=WordNormalisation(
            lowercases=lowercases is not False,
            strips_accents=optional_flag(settings, "strip_accents", beside.name),
            splits_chinese=splits is not False,
        ),
        marks=Marks(bos_id=opening, eos_ids=(closing,), opening=(opening,), closing=(closing,)),
    )


def wordpiece_tokenizer(
    pieces: Sequence[str],
    *,
    special: Mapping[str, int],
    unknown_id: int,
    normalisation: WordNormalisation,
    marks: Marks,
) -> Tokenizer:
    """A WordPiece tokenizer.

    Args:
        pieces: the vocabulary in order of id; continuations begin with `##`.
        special: control tokens -> id.
        unknown_id: the id for words that the pieces cannot spell.
        normalisation: what happens to a text first.
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
    library.normalizer = BertNormalizer(
        lowercase=normalisation.lowercases,
        strip_accents=normalisation.strips_accents,
        handle_chinese_chars=normalisation.splits_chinese,
    )
    library.pre_tokenizer = BertPreTokenizer()
    vocabulary = Vocabulary(
        size=len(pieces),
        piece=lambda token_id: pieces[token_id],
        spelling=spelling.Spelling((spelling.wordpiece(CONTINUATION, tidy=True),)),
        special=special,
        raw=frozenset(special.values()),
    )
    return Tokenizer(SplittingEncoder(library, special), vocabulary, marks)
