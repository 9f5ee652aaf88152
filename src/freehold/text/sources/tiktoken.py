"""Rank files: a token per line, its bytes in base 64 and its rank. OpenAI's `.tiktoken`, Llama 3's `tokenizer.model`.

Such a file holds neither the way text is cut into words nor the control tokens, so both come from a table of the
families that were released this way. A family is recognised by its file name (OpenAI, Qwen) or by its number of ranks
(Llama).
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from freehold.errors import TokenizerError
from freehold.text.pretokenizers import pre_tokenizer
from freehold.text.sources.byte_level import byte_level_tokenizer, merges_from_ranks
from freehold.text.sources.files import MAX_VOCABULARY, read_bytes
from freehold.text.sources.settings import Settings
from freehold.text.spelling import to_byte_alphabet
from freehold.text.tokenizer import Marks, Tokenizer

_MAX_TOKEN_BYTES = 1 << 12
_MAX_LINE = 1 << 13


@dataclass(frozen=True, slots=True)
class Family:
    """What a rank file leaves unsaid.

    Attributes:
        convention: the name of its row among the pre-tokenizers.
        special: control tokens -> id.
        bos: the token put before texts, or None.
        ends: the tokens that end a generation.
    """

    convention: str
    special: Mapping[str, int]
    bos: str | None
    ends: tuple[str, ...]


def _numbered(first: int, *names: str) -> dict[str, int]:
    return {name: first + index for index, name in enumerate(names)}


def _reserved(prefix: str, first: int, count: int) -> list[str]:
    return [f"<|{prefix}reserved_special_token_{number}|>" for number in range(first, first + count)]


def _llama3() -> Family:
    names = ["<|begin_of_text|>", "<|end_of_text|>", *_reserved("", 0, 2), "<|finetune_right_pad_id|>"]
    names += [*_reserved("", 2, 1), "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>"]
    names += ["<|python_tag|>", *_reserved("", 3, 245)]
    ends = ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")
    return Family("llama3", _numbered(128_000, *names), "<|begin_of_text|>", ends)


def _llama4() -> Family:
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"]
    names += ["<|header_start|>", "<|header_end|>", "<|eom|>", "<|eot|>", "<|step|>"]
    names += [*_reserved("text_post_train_", 0, 6), "<|python_start|>", "<|python_end|>", "<|finetune_right_pad|>"]
    names += [*_reserved("text_post_train_", 6, 61), "<|image_start|>", "<|image_end|>", *_reserved("vision_", 0, 2)]
    names += ["<|tile_x_separator|>", "<|tile_y_separator|>", *_reserved("vision_", 2, 4), "<|image|>"]
    names += [*_reserved("vision_", 6, 1), "<|patch|>", *_reserved("vision_", 7, 1041)]
    ends = ("<|end_of_text|>", "<|eom|>", "<|eot|>")
    return Family("llama4", _numbered(200_000, *names), "<|begin_of_text|>", ends)


def _harmony() -> Family:
    meant = {
        **_numbered(199_998, "<|startoftext|>", "<|endoftext|>"),
        **_numbered(200_002, "<|return|>", "<|constrain|>"),
        **_numbered(200_005, "<|channel|>", "<|start|>", "<|end|>", "<|message|>"),
        **_numbered(200_012, "<|call|>"),
        **_numbered(200_018, "<|endofprompt|>"),
    }
    taken = set(meant.values())
    reserved = {f"<|reserved_{number}|>": number for number in range(200_000, 201_088) if number not in taken}
    return Family("o200k", {**meant, **reserved}, None, ("<|return|>", "<|call|>", "<|endoftext|>"))


def _openai(convention: str, special: dict[str, int]) -> Family:
    return Family(convention, special, None, ("<|endoftext|>",))


_GPT2_SPECIAL = {"<|endoftext|>": 50_256}
_QWEN_SPECIAL = _numbered(
    151_643, "<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{number}|>" for number in range(205))
)
_CL100K_SPECIAL = {
    **_numbered(100_257, "<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
    "<|endofprompt|>": 100_276,
}
FAMILIES: Mapping[str, Family] = {
    "llama3": _llama3(),
    "llama4": _llama4(),
    "r50k_base": _openai("gpt-2", _GPT2_SPECIAL),
    "p50k_base": _openai("gpt-2", _GPT2_SPECIAL),
    "cl100k_base": _openai("cl100k", _CL100K_SPECIAL),
    "o200k_base": _openai("o200k", {"<|endoftext|>": 199_999, "<|endofprompt|>": 200_018}),
    "o200k_harmony": _harmony(),
    "qwen": Family("qwen2", _QWEN_SPECIAL, None, ("<|endoftext|>", "<|im_end|>")),
}
_FAMILY_OF_RANK_COUNT = {128_000: "llama3", 200_000: "llama4"}


def tiktoken_tokenizer(path: Path, settings: Settings, *, family: str | None = None) -> Tokenizer:
    """A tokenizer from a rank file.

    Args:
        path: the file.
        settings: what the files beside it say; its added tokens, if any, replace the family's control tokens.
        family: the family's name, if it is not to be recognised.

    Raises:
        TokenizerError: a damaged file or an unknown family.
    """
    ranks = parse_ranks(read_bytes(path))
    row = FAMILIES.get(family or _recognised(path, len(ranks)))
    if row is None:
        raise TokenizerError(f"unknown rank file family {family!r}", hint=f"known are {', '.join(FAMILIES)}")
    special = {piece.text: piece.token_id for piece in settings.added} or row.special
    pieces = {to_byte_alphabet(token): rank for token, rank in ranks.items()}
    bos = special.get(settings.bos_token or row.bos or "")
    ends = [special[name] for name in row.ends if name in special]
    opens = row.bos is not None if settings.add_bos is None else settings.add_bos
    marks = Marks(
        bos_id=bos,
        eos_ids=tuple(dict.fromkeys([*settings.eos_ids, *ends])),
        opening=(bos,) if opens and bos is not None else (),
    )
    convention = pre_tokenizer(row.convention)
    return byte_level_tokenizer(
        pieces, merges_from_ranks(pieces), convention, special=special, user_defined={}, marks=marks
    )


def parse_ranks(data: bytes) -> dict[bytes, int]:
    """Token -> rank of a rank file's contents.

    Raises:
        TokenizerError: a line that is not base 64 and a number, an empty or over-long token, or a repeated one.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.splitlines(), start=1):
        if not line:
            continue
        encoded, _, rank = line.partition(b" ")
        try:
            token = binascii.a2b_base64(encoded, strict_mode=True)
        except binascii.Error as error:
            raise TokenizerError(f"line {number} of the rank file is not base 64: {error}") from error
        if not (rank.isdigit() and len(rank) < 10 and int(rank) < MAX_VOCABULARY):
            raise TokenizerError(f"line {number} of the rank file has the rank {rank[:20]!r}")
        if not 0 < len(token) <= _MAX_TOKEN_BYTES or token in ranks:
            raise TokenizerError(f"line {number} of the rank file has an empty, over-long or repeated token")
        ranks[token] = int(rank)
    return ranks


def _recognised(path: Path, rank_count: int) -> str:
    if path.suffix == ".tiktoken":
        return path.stem
    family = _FAMILY_OF_RANK_COUNT.get(rank_count)
    if family is None:
        known = ", ".join(f"{count} ({name})" for count, name in _FAMILY_OF_RANK_COUNT.items())
        raise TokenizerError(
            f"{path.name} has {rank_count} ranks, which no known family has", hint=f"known are {known}"
        )
    return family


def is_rank_file(path: Path) -> bool:
    """Whether a file is a rank file rather than SentencePiece's protocol buffer, judged by its first line."""
    encoded, space, rank = read_bytes(path)[:_MAX_LINE].split(b"\n", 1)[0].partition(b" ")
    return bool(space) and rank.strip().isdigit() and encoded.isascii()
