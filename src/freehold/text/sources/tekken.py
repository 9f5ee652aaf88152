"""Mistral's `tekken.json`: byte-level ranks, the pattern that cuts words, control tokens numbered before the ranks."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from freehold.errors import TokenizerError
from freehold.text.pretokenizers import pre_tokenizer
from freehold.text.sources.byte_level import byte_level_tokenizer, merges_from_ranks
from freehold.text.sources.files import MAX_TOKENIZER_BYTES, MAX_VOCABULARY, read_json_object
from freehold.text.sources.settings import Settings
from freehold.text.spelling import to_byte_alphabet
from freehold.text.tokenizer import Marks, Tokenizer

_FIRST_CONTROL_TOKENS = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
    "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
)  # fmt: skip
"""For files written before they listed their control tokens."""


def tekken_tokenizer(path: Path, settings: Settings) -> Tokenizer:
    """A tokenizer from a `tekken.json`.

    Raises:
        TokenizerError: a damaged file.
    """
    content = read_json_object(path, MAX_TOKENIZER_BYTES)
    config = content.get("config")
    if not isinstance(config, dict):
        raise TokenizerError("tekken.json has no config")
    reserved = _count(config, "default_num_special_tokens")
    size = _count(config, "default_vocab_size")
    special = _control_tokens(content.get("special_tokens"), reserved)
    pieces = _pieces(content.get("vocab"), reserved, size - reserved)
    pattern = config.get("pattern")
    if not isinstance(pattern, str) or len(pattern) > 4096:
        raise TokenizerError(f"tekken.json: pattern is {pattern!r:.80}, expected a string")
    bos, eos = special.get("<s>"), special.get("</s>")
    marks = Marks(
        bos_id=bos,
        eos_ids=settings.eos_ids or (() if eos is None else (eos,)),
        opening=() if bos is None else (bos,),
    )
    return byte_level_tokenizer(
        pieces,
        merges_from_ranks(pieces),
        replace(pre_tokenizer("tekken"), patterns=(pattern,)),
        special=special,
        user_defined={},
        marks=marks,
    )


def _count(config: Mapping[str, object], key: str) -> int:
    value = config.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_VOCABULARY:
        return int(value)
    raise TokenizerError(f"tekken.json: {key} is {value!r:.80}, expected a number up to {MAX_VOCABULARY}")


def _control_tokens(listed: object, reserved: int) -> dict[str, int]:
    names = [
        _FIRST_CONTROL_TOKENS[number] if number < len(_FIRST_CONTROL_TOKENS) else f"<SPECIAL_{number}>"
        for number in range(reserved)
    ]
    for entry in listed if isinstance(listed, list) else []:
        rank = entry.get("rank") if isinstance(entry, dict) else None
        name = entry.get("token_str") if isinstance(entry, dict) else None
        if not (isinstance(rank, int) and 0 <= rank < reserved and isinstance(name, str) and name):
            raise TokenizerError(f"tekken.json: special token {entry!r:.80} has no rank below {reserved} or no name")
        names[rank] = name
    special = {name: number for number, name in enumerate(names)}
    if len(special) != reserved:
        raise TokenizerError("tekken.json: two special tokens have the same name")
    return special


def _pieces(vocabulary: object, first: int, limit: int) -> dict[str, int]:
    """Piece -> id of the first `limit` entries; the file lists more than the model uses."""
    pieces: dict[str, int] = {}
    for number, entry in enumerate(vocabulary[: max(limit, 0)] if isinstance(vocabulary, list) else []):
        encoded = entry.get("token_bytes") if isinstance(entry, dict) else None
        if not isinstance(encoded, str) or entry.get("rank") != number:
            raise TokenizerError(f"tekken.json: entry {number} of the vocabulary has no token_bytes or another rank")
        try:
            token = binascii.a2b_base64(encoded.encode(), strict_mode=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise TokenizerError(f"tekken.json: entry {number} of the vocabulary is not base 64") from error
        pieces[to_byte_alphabet(token)] = first + number
    return pieces
