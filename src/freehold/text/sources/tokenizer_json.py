"""Hugging Face's `tokenizer.json`: encoding by the library that defines the format, decoding by our own spelling."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken
from tokenizers import Tokenizer as LibraryTokenizer

from freehold.errors import TokenizerError
from freehold.text.encoders import LibraryEncoder, guarded
from freehold.text.sources.decoders import spelling_of_decoder
from freehold.text.sources.files import MAX_VOCABULARY, read_bytes
from freehold.text.sources.json_content import content_of_json
from freehold.text.sources.settings import Settings
from freehold.text.tokenizer import Marks, Tokenizer, Vocabulary

_PROBE = "a"
_MAX_AROUND = 16


def json_tokenizer(path: Path, settings: Settings) -> Tokenizer:
    """A tokenizer from a `tokenizer.json`.

    Truncation and padding that the file may ask for are switched off: a prompt is never cut in silence.

    Raises:
        TokenizerError: a damaged file, or a decoder that is not supported.
    """
    data = read_bytes(path)
    library = guarded(f"{path.name} cannot be read", lambda: LibraryTokenizer.from_buffer(data))
    library.no_truncation()
    library.no_padding()
    if getattr(library.model, "dropout", None):
        library.model.dropout = None  # for training only; the same text must give the same tokens
    _add_missing(library, settings)
    added = library.get_added_tokens_decoder()
    special = {token.content: token_id for token_id, token in added.items() if token.special}
    decoder = library.decoder
    spelling = spelling_of_decoder(None if decoder is None else decoder.__getstate__())
    vocabulary = Vocabulary(
        size=_highest_id(library) + 1,
        piece=library.id_to_token,
        spelling=spelling,
        special=special,
        raw=frozenset(added) if spelling.raw_added else frozenset(special.values()),
    )
    marks = _marks(library, settings)
    return Tokenizer(LibraryEncoder(library, special), vocabulary, marks, lambda: content_of_json(library))


def _add_missing(library: LibraryTokenizer, settings: Settings) -> None:
    """Adds the tokens that the settings name and the file lacks, with the ids that the settings give."""
    present = {token.content for token in library.get_added_tokens_decoder().values()}
    for piece in settings.added:
        if piece.text in present:
            continue
        library.add_tokens([AddedToken(piece.text, special=piece.special, normalized=False)])
        given = library.token_to_id(piece.text)
        if given != piece.token_id:
            raise TokenizerError(
                f"the settings add {piece.text!r:.40} as id {piece.token_id}, the vocabulary gives it id {given}"
            )
    for name in (settings.bos_token, settings.eos_token):
        if name and name not in present and library.token_to_id(name) is not None:
            library.add_special_tokens([AddedToken(name, special=True, normalized=False)])


def _highest_id(library: LibraryTokenizer) -> int:
    highest = max(library.get_vocab(with_added_tokens=True).values(), default=-1)
    if not 0 <= highest < MAX_VOCABULARY:
        raise TokenizerError(f"the tokenizer's highest token id is {highest}, expected 0 to {MAX_VOCABULARY - 1}")
    return highest


def _marks(library: LibraryTokenizer, settings: Settings) -> Marks:
    """What the file's post-processor puts around texts, unless the settings say so explicitly."""
    opening, closing = _around(library)
    bos = library.token_to_id(settings.bos_token) if settings.bos_token else (opening[0] if opening else None)
    eos = library.token_to_id(settings.eos_token) if settings.eos_token else None
    if settings.add_bos is not None and bos is not None:
        opening = (bos,) if settings.add_bos else ()
    if settings.add_eos is not None and eos is not None:
        closing = (eos,) if settings.add_eos else ()
    ends = [*settings.eos_ids, *([] if eos is None else [eos])]
    return Marks(bos_id=bos, eos_ids=tuple(dict.fromkeys(ends)), opening=opening, closing=closing)


def _around(library: LibraryTokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that the post-processor puts before and after a text."""
    bare = guarded("the tokenizer cannot encode", lambda: library.encode(_PROBE, add_special_tokens=False).ids)
    whole = guarded("the tokenizer cannot encode", lambda: library.encode(_PROBE, add_special_tokens=True).ids)
    for start in range(min(len(whole) - len(bare), _MAX_AROUND) + 1):
        opening, closing = whole[:start], whole[start + len(bare) :]
        fits = whole[start : start + len(bare)] == bare and len(closing) <= _MAX_AROUND
        if fits and all(library.id_to_token(token_id) is not None for token_id in (*opening, *closing)):
            return tuple(opening), tuple(closing)
    raise TokenizerError("the tokenizer's post-processor does more than putting a few tokens around a text")
