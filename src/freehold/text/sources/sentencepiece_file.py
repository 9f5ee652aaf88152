"""SentencePiece's `.model` file: a protocol buffer, of which we read what a tokenizer needs.

Field numbers are those of `sentencepiece_model.proto`. Every length is checked against what is there, nothing is
allocated from a declared size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freehold.errors import TokenizerError
from freehold.text.content import Kind, Normalisation, Piece
from freehold.text.sources.files import MAX_VOCABULARY, read_bytes
from freehold.text.sources.sentencepiece import sentencepiece_tokenizer
from freehold.text.sources.settings import AddedPiece, Settings
from freehold.text.tokenizer import Marks, Tokenizer

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_PIECE_BYTES = 1 << 12

Field = tuple[int, "int | bytes"]


@dataclass(frozen=True, slots=True)
class SentencePieceFile:
    """What a `.model` file says.

    Attributes:
        pieces: the vocabulary in order of id.
        unigram: whether it is a Unigram model (otherwise BPE).
        bos_id: the id of BOS, or None.
        eos_id: the id of EOS, or None.
        prefix: a space is put before texts.
        squeezes: runs of spaces become one, and none is left at the ends.
        character_map: the compiled table of character replacements, or empty.
    """

    pieces: tuple[Piece, ...]
    unigram: bool
    bos_id: int | None
    eos_id: int | None
    prefix: bool
    squeezes: bool
    character_map: bytes


def sentencepiece_file_tokenizer(path: Path, settings: Settings) -> Tokenizer:
    """A tokenizer from a `.model` file.

    Text after a control token gets SentencePiece's space like text at the start, as when each part of a conversation is
    encoded by itself, unless the settings have `legacy: false` (then only text at the start does).

    Raises:
        TokenizerError: as `parse_sentencepiece`, or settings that contradict the vocabulary.
    """
    file = parse_sentencepiece(read_bytes(path))
    pieces = with_added(file.pieces, settings.added)
    ids = {piece.text: index for index, piece in enumerate(pieces)}
    bos = ids.get(settings.bos_token, file.bos_id) if settings.bos_token else file.bos_id
    eos = ids.get(settings.eos_token, file.eos_id) if settings.eos_token else file.eos_id
    opens = settings.add_bos is not False and bos is not None
    ends = [*settings.eos_ids, *([] if eos is None else [eos])]
    marks = Marks(
        bos_id=bos,
        eos_ids=tuple(dict.fromkeys(ends)),
        opening=(bos,) if opens and bos is not None else (),
        closing=(eos,) if settings.add_eos and eos is not None else (),
    )
    normalisation = Normalisation(
        prefix=file.prefix and settings.add_prefix_space is not False,
        prefix_everywhere=settings.legacy is not False,
        squeezes=file.squeezes,
        character_map=file.character_map,
    )
    return sentencepiece_tokenizer(pieces, unigram=file.unigram, normalisation=normalisation, marks=marks)


def with_added(pieces: tuple[Piece, ...], added: tuple[AddedPiece, ...]) -> tuple[Piece, ...]:
    """The pieces with those that a configuration adds or declares to be control tokens.

    Raises:
        TokenizerError: an added piece whose id is taken by another or does not follow the vocabulary.
    """
    result = list(pieces)
    for piece in added:
        kind = Kind.CONTROL if piece.special else Kind.USER_DEFINED
        if piece.token_id < len(result):
            present = result[piece.token_id]
            if present.text != piece.text:
                raise TokenizerError(
                    f"the settings call id {piece.token_id} {piece.text!r:.40}, the vocabulary {present.text!r:.40}"
                )
            if present.kind is not Kind.UNKNOWN:
                result[piece.token_id] = Piece(piece.text, present.score, kind)
        elif piece.token_id == len(result):
            result.append(Piece(piece.text, 0.0, kind))
        else:
            raise TokenizerError(f"the settings add {piece.text!r:.40} as id {piece.token_id}, {len(result)} is next")
    return tuple(result)


def parse_sentencepiece(data: bytes) -> SentencePieceFile:
    """Reads a `.model` file.

    Raises:
        TokenizerError: truncated, malformed, or of a kind other than Unigram and BPE.
    """
    pieces: list[Piece] = []
    trainer: dict[int, int | bytes] = {}
    normaliser: dict[int, int | bytes] = {}
    for number, value in _fields(data):
        if number == 1:
            if len(pieces) >= MAX_VOCABULARY:
                raise TokenizerError(f"the SentencePiece file has more than {MAX_VOCABULARY} pieces")
            pieces.append(_piece(_as_bytes(value, "a piece"), len(pieces)))
        elif number == 2:
            trainer = dict(_fields(_as_bytes(value, "the trainer settings")))
        elif number == 3:
            normaliser = dict(_fields(_as_bytes(value, "the normaliser settings")))
    if not pieces:
        raise TokenizerError("the SentencePiece file has no pieces")
    kind = trainer.get(3, 1)
    if kind not in (1, 2):
        raise TokenizerError(f"SentencePiece model type {kind!r:.40}", hint="known are 1 (Unigram) and 2 (BPE)")
    if trainer.get(24, 0):
        raise TokenizerError("the SentencePiece model writes spaces after words, which is not supported")
    if not normaliser.get(5, 1):
        raise TokenizerError("the SentencePiece model does not escape spaces, which is not supported")
    return SentencePieceFile(
        pieces=tuple(pieces),
        unigram=kind == 1,
        bos_id=_optional_id(trainer.get(41, 1), pieces),
        eos_id=_optional_id(trainer.get(42, 2), pieces),
        prefix=bool(normaliser.get(3, 1)),
        squeezes=bool(normaliser.get(4, 1)),
        character_map=_as_bytes(normaliser.get(2, b""), "the character map"),
    )


def _piece(data: bytes, index: int) -> Piece:
    fields = dict(_fields(data))
    text, score, kind = fields.get(1, b""), fields.get(2, b"\0\0\0\0"), fields.get(3, 1)
    raw = _as_bytes(text, f"the text of piece {index}")
    if len(raw) > _MAX_PIECE_BYTES:
        raise TokenizerError(f"piece {index} has {len(raw)} bytes, more than {_MAX_PIECE_BYTES}")
    number = _as_bytes(score, f"the score of piece {index}")
    if len(number) != 4:
        raise TokenizerError(f"the score of piece {index} has {len(number)} bytes, expected 4")
    try:
        return Piece(raw.decode("utf-8"), struct.unpack("<f", number)[0], Kind(kind))  # type: ignore[arg-type]
    except UnicodeDecodeError as error:
        raise TokenizerError(f"piece {index} is not UTF-8") from error
    except (ValueError, TypeError) as error:
        raise TokenizerError(f"piece {index} is of the unknown type {kind!r:.40}") from error


def _optional_id(value: int | bytes, pieces: list[Piece]) -> int | None:
    """An id in the vocabulary; -1 (and whatever else is not in it) says that there is none."""
    return value if isinstance(value, int) and 0 <= value < len(pieces) else None


def _as_bytes(value: int | bytes, what: str) -> bytes:
    if isinstance(value, bytes):
        return value
    raise TokenizerError(f"{what} is a number in the SentencePiece file")


def _fields(data: bytes) -> Iterator[Field]:
    """The fields of a message: (number, its integer or bytes). 32- and 64-bit fields come as bytes."""
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        wire = key & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if wire == _BYTES:
            length, position = _varint(data, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise TokenizerError(f"byte {position} of a SentencePiece message starts a field of unknown type {wire}")
        if length > end - position:
            raise TokenizerError(f"a SentencePiece field of {length} bytes, but only {end - position} are left")
        yield key >> 3, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A variable-length integer and the position after it; at most 64 bits."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise TokenizerError("the SentencePiece file ends inside a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
    raise TokenizerError("a number in the SentencePiece file is longer than 64 bits")
