"""The vocabulary inside a GGUF file, from its metadata.

`tokenizer.ggml.model` names the kind, `tokens`, `scores`, `token_type` and `merges` hold the vocabulary, `pre` says how
byte-level text is cut into words. Defaults follow llama.cpp, for which these files are written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

from freehold.errors import TokenizerError
from freehold.text.content import Kind, Normalisation, Piece
from freehold.text.pretokenizers import pre_tokenizer
from freehold.text.sources.byte_level import byte_level_tokenizer
from freehold.text.sources.files import MAX_VOCABULARY, optional_flag, optional_text, token_id
from freehold.text.sources.merges import parse_merges
from freehold.text.sources.sentencepiece import sentencepiece_tokenizer
from freehold.text.sources.wordpiece import CONTINUATION, WordNormalisation, wordpiece_tokenizer
from freehold.text.spelling import WORD_BOUNDARY
from freehold.text.tokenizer import Marks, Tokenizer
from freehold.text.turns import turn_ends

_PREFIX = "tokenizer.ggml."


def gguf_tokenizer(metadata: Mapping[str, object]) -> Tokenizer | None:
    """The tokenizer of a GGUF file, or None when it has no vocabulary.

    Args:
        metadata: the file's metadata; arrays as any sequence.

    Raises:
        TokenizerError: an unknown kind of vocabulary, or one that is damaged.
    """
    model = optional_text(metadata, _PREFIX + "model", "GGUF")
    if model is None or model == "none" or metadata.get(_PREFIX + "tokens") is None:
        return None
    build = _BUILDERS.get(model)
    if build is None:
        raise TokenizerError(f"{_PREFIX}model is {model!r:.40}", hint=f"known are {', '.join(_BUILDERS)}")
    return build(_Vocabulary(metadata))


class _Vocabulary:
    """The vocabulary in a GGUF file's metadata, with its types checked."""

    def __init__(self, metadata: Mapping[str, object]) -> None:
        self.metadata = metadata
        self.tokens = _texts(self._sequence("tokens"), "tokens")
        kinds = self._numbers("token_type")
        known = {kind: _kind(kind, kinds.index(kind)) for kind in set(kinds)}
        self.kinds = [known[kind] for kind in kinds] if kinds else [Kind.NORMAL] * self.size
        if len(self.kinds) != self.size:
            raise TokenizerError(f"{self.size} tokens but {len(self.kinds)} token types")

    @property
    def size(self) -> int:
        return len(self.tokens)

    def of_kind(self, *kinds: Kind) -> dict[str, int]:
        """Token -> id for the tokens of some kinds."""
        wanted = frozenset(kinds)
        places = enumerate(zip(self.tokens, self.kinds, strict=True))
        return {text: index for index, (text, kind) in places if kind in wanted}

    def token(self, name: str) -> int | None:
        """The id under a key such as `bos`."""
        value = self.metadata.get(f"{_PREFIX}{name}_token_id")
        if value is None:
            return None
        identifier = token_id(value, f"{_PREFIX}{name}_token_id")
        if identifier >= self.size:
            raise TokenizerError(f"{_PREFIX}{name}_token_id is {identifier}, the vocabulary has {self.size} tokens")
        return identifier

    def flag(self, name: str, default: bool) -> bool:
        value = optional_flag(self.metadata, _PREFIX + name, "GGUF")
        return default if value is None else value

    def marks(self, *, opens: bool, closes: bool = False, bos: int | None, eos: int | None) -> Marks:
        """BOS, EOS and what is put around texts; `opens` and `closes` hold where the file does not say."""
        opens, closes = self.flag("add_bos_token", opens), self.flag("add_eos_token", closes)
        return Marks(
            bos_id=bos,
            eos_ids=self._ends(eos),
            opening=(bos,) if opens and bos is not None else (),
            closing=(eos,) if closes and eos is not None else (),
        )

    def _ends(self, eos: int | None) -> tuple[int, ...]:
        control = self.of_kind(Kind.CONTROL, Kind.USER_DEFINED)
        ends = [eos, self.token("eot"), self.token("eom")]
        names = turn_ends(control.keys())
        ends += [identifier for text, identifier in control.items() if text in names]
        return tuple(dict.fromkeys(end for end in ends if end is not None))

    def scores(self) -> list[float]:
        scores = self._numbers("scores")
        if len(scores) != self.size:
            raise TokenizerError(f"{self.size} tokens but {len(scores)} scores")
        return scores

    def merges(self) -> list[tuple[str, str]]:
        return parse_merges("\n".join(_texts(self._sequence("merges", least=0), "merges")))

    def octets(self, name: str) -> bytes:
        """An array of bytes, empty where the file has none."""
        if self.metadata.get(_PREFIX + name) is None:
            return b""
        try:
            return bytes([int(value) for value in self._numbers(name)])
        except (ValueError, OverflowError) as error:
            raise TokenizerError(f"{_PREFIX}{name} holds something that is no byte") from error

    def _sequence(self, name: str, *, least: int = 1) -> Sequence[object]:
        value = self.metadata.get(_PREFIX + name)
        if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
            raise TokenizerError(f"{_PREFIX}{name} is {value!r:.40}, expected an array")
        values = list(value)
        if not least <= len(values) <= 2 * MAX_VOCABULARY:
            raise TokenizerError(f"{_PREFIX}{name} has {len(values)} entries, expected {least} to {2 * MAX_VOCABULARY}")
        return values

    def _numbers(self, name: str) -> list[float]:
        if self.metadata.get(_PREFIX + name) is None:
            return []
        try:
            return [float(value) for value in self._sequence(name)]  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise TokenizerError(f"{_PREFIX}{name} holds something that is no number") from error


def _texts(values: Sequence[object], name: str) -> list[str]:
    """Strings; bytes are read as UTF-8."""
    if set(map(type, values)) == {str}:  # a vocabulary has hundreds of thousands
        return list(cast("Sequence[str]", values))
    texts = []
    for index, value in enumerate(values):
        try:
            text = value.decode("utf-8") if isinstance(value, bytes) else value
        except UnicodeDecodeError as error:
            raise TokenizerError(f"{_PREFIX}{name}[{index}] is not UTF-8") from error
        if not isinstance(text, str):
            raise TokenizerError(f"{_PREFIX}{name}[{index}] is {value!r:.40}, expected a string")
        texts.append(text)
    return texts


def _kind(value: float, index: int) -> Kind:
    try:
        return Kind(int(value)) if math.isfinite(value) else Kind(0)
    except ValueError as error:
        raise TokenizerError(f"token {index} has the unknown type {value}") from error


def _sentencepiece(vocabulary: _Vocabulary) -> Tokenizer:
    return _from_pieces(vocabulary, unigram=False, squeezes=False)


def _unigram(vocabulary: _Vocabulary) -> Tokenizer:
    return _from_pieces(vocabulary, unigram=True, squeezes=vocabulary.flag("remove_extra_whitespaces", True))


def _from_pieces(vocabulary: _Vocabulary, *, unigram: bool, squeezes: bool) -> Tokenizer:
    pieces = []
    for text, score, kind in zip(vocabulary.tokens, vocabulary.scores(), vocabulary.kinds, strict=True):
        # Converters write the spaces of user-defined tokens as spaces; everything else has SentencePiece's mark.
        marked = text.replace(" ", WORD_BOUNDARY) if kind is Kind.USER_DEFINED else text
        pieces.append(Piece(marked, score, kind))
    normalisation = Normalisation(
        prefix=vocabulary.flag("add_space_prefix", True),
        squeezes=squeezes,
        character_map=vocabulary.octets("precompiled_charsmap"),
    )
    bos, eos = vocabulary.token("bos"), vocabulary.token("eos")
    marks = vocabulary.marks(opens=not unigram, closes=unigram, bos=bos, eos=eos)
    return sentencepiece_tokenizer(pieces, unigram=unigram, normalisation=normalisation, marks=marks)


def _byte_level(vocabulary: _Vocabulary) -> Tokenizer:
    convention = pre_tokenizer(optional_text(vocabulary.metadata, _PREFIX + "pre", "GGUF") or "default")
    special = vocabulary.of_kind(Kind.CONTROL, Kind.UNKNOWN)
    user_defined = vocabulary.of_kind(Kind.USER_DEFINED)
    return byte_level_tokenizer(
        vocabulary.of_kind(Kind.NORMAL, Kind.BYTE),
        vocabulary.merges(),
        convention,
        special=special,
        user_defined=user_defined,
        marks=vocabulary.marks(opens=convention.opens, bos=vocabulary.token("bos"), eos=vocabulary.token("eos")),
    )


def _wordpiece(vocabulary: _Vocabulary) -> Tokenizer:
    """In these files a word begins with SentencePiece's mark and a continuation with nothing."""
    special = vocabulary.of_kind(Kind.CONTROL, Kind.UNKNOWN)
    pieces = []
    for text, kind in zip(vocabulary.tokens, vocabulary.kinds, strict=True):
        if kind is not Kind.NORMAL or (text.startswith("[") and text.endswith("]")):
            pieces.append(text)
        elif text.startswith(WORD_BOUNDARY):
            pieces.append(text.removeprefix(WORD_BOUNDARY))
        else:
            pieces.append(CONTINUATION + text)
    unknown = vocabulary.token("unknown")
    bos = vocabulary.token("cls") if vocabulary.token("bos") is None else vocabulary.token("bos")
    eos = vocabulary.token("seperator") if vocabulary.token("eos") is None else vocabulary.token("eos")
    marks = vocabulary.marks(opens=True, closes=True, bos=bos, eos=eos)
    if unknown is None:
        raise TokenizerError(f"{_PREFIX}unknown_token_id is missing, which a WordPiece vocabulary needs")
    return wordpiece_tokenizer(
        pieces, special=special, unknown_id=unknown, normalisation=WordNormalisation(), marks=marks
    )


_BUILDERS: Mapping[str, Callable[[_Vocabulary], Tokenizer]] = {
    "llama": _sentencepiece,
    "t5": _unigram,
    "gpt2": _byte_level,
    "bert": _wordpiece,
}
