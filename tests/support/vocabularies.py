"""Small vocabularies for tests, and readers and writers for formats that the program itself only reads one way."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from freehold.text.content import Kind, Piece
from freehold.text.spelling import to_byte_alphabet

BYTE_PIECES = [to_byte_alphabet(bytes((byte,))) for byte in range(256)]


def gguf_metadata(path: Path) -> dict[str, object]:
    """The metadata of a well-formed GGUF file; an independent reader, a few lines long."""
    data = path.read_bytes()
    position = 4

    def number(code: str) -> int:
        nonlocal position
        (value,) = struct.unpack_from("<" + code, data, position)
        position += struct.calcsize(code)
        return int(value) if code not in "fd" else value

    def text() -> str:
        nonlocal position
        length = number("Q")
        position += length
        return data[position - length : position].decode()

    codes = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def value(kind: int) -> object:
        if kind == 8:
            return text()
        if kind == 9:
            inner, count = number("I"), number("Q")
            return [value(inner) for _ in range(count)]
        return bool(number("?")) if kind == 7 else number(codes[kind])

    number("I")  # version
    number("Q")  # tensors
    return {text(): value(number("I")) for _ in range(number("Q"))}


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes_field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def sentencepiece_model(
    pieces: Sequence[Piece],
    *,
    unigram: bool = False,
    prefix: bool = True,
    squeezes: bool = False,
    bos_id: int = 1,
    eos_id: int = 2,
) -> bytes:
    """A SentencePiece `.model` file with these pieces."""
    model = b""
    for piece in pieces:
        score = _varint(2 << 3 | 5) + struct.pack("<f", piece.score)
        model += _bytes_field(1, _bytes_field(1, piece.text.encode()) + score + _number_field(3, piece.kind))
    trainer = _number_field(3, 1 if unigram else 2) + _number_field(41, bos_id) + _number_field(42, eos_id)
    trainer += _number_field(35, any(piece.kind is Kind.BYTE for piece in pieces))
    normaliser = _number_field(3, prefix) + _number_field(4, squeezes) + _number_field(5, 1)
    return model + _bytes_field(2, trainer) + _bytes_field(3, normaliser)


def small_pieces(*words: str) -> list[Piece]:
    """A SentencePiece vocabulary: control pieces, all bytes, and words with all that they are merged from."""
    pieces = [Piece("<unk>", 0, Kind.UNKNOWN), Piece("<s>", 0, Kind.CONTROL), Piece("</s>", 0, Kind.CONTROL)]
    pieces += [Piece(f"<0x{byte:02X}>", 0, Kind.BYTE) for byte in range(256)]
    texts = dict.fromkeys(word[:end] for word in words for end in range(2, len(word) + 1))
    letters = dict.fromkeys("".join(words))
    return pieces + [Piece(text, -float(rank), Kind.NORMAL) for rank, text in enumerate([*texts, *letters])]
