"""A tokenizer as GGUF metadata, under the keys that llama.cpp reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from freehold.errors import TokenizerError
from freehold.text.content import ByteLevelContent, Kind, Piece, SentencePieceContent
from freehold.text.pretokenizers import name_of
from freehold.text.spelling import WORD_BOUNDARY
from freehold.text.template import ChatTemplate
from freehold.text.tokenizer import Tokenizer

_PREFIX = "tokenizer.ggml."
# GGUF has room for three ends of a generation, each under its own name.
_ENDS = ("eos", "eot", "eom")


def gguf_vocabulary(tokenizer: Tokenizer, template: ChatTemplate | None, rows: int) -> dict[str, Any]:
    """The metadata that gives the same tokenizer when it is read back.

    Args:
        rows: of the model's embedding; the vocabulary is filled up with unused tokens to as many.

    Raises:
        TokenizerError: GGUF has no words for this tokenizer, or it has more tokens than the model.
    """
    content = tokenizer.content()
    described = _byte_level(content) if isinstance(content, ByteLevelContent) else _sentencepiece(content)
    tokens, kinds = described["tokens"], described["token_type"]
    if len(tokens) > rows:
        raise TokenizerError(f"the tokenizer has {len(tokens)} tokens, the model only {rows}")
    missing = range(len(tokens), rows)
    described["tokens"] = tokens + [f"[PAD{number}]" for number in missing]
    described["token_type"] = np.array(kinds + [Kind.UNUSED] * len(missing), np.int32)
    if "scores" in described:
        described["scores"] = np.array(described["scores"] + [0.0] * len(missing), np.float32)
    described |= _marks(tokenizer)
    metadata = {_PREFIX + key: value for key, value in described.items()}
    if template is not None:
        metadata["tokenizer.chat_template"] = template.source
        if template.tool_use is not None:
            metadata["tokenizer.chat_template.tool_use"] = template.tool_use
    return metadata


def _marks(tokenizer: Tokenizer) -> dict[str, Any]:
    marks: dict[str, Any] = {
        "add_bos_token": bool(tokenizer.opening),
        "add_eos_token": bool(tokenizer.closing),
    }
    if tokenizer.bos_id is not None:
        marks["bos_token_id"] = tokenizer.bos_id
    if len(tokenizer.eos_ids) > len(_ENDS):
        raise TokenizerError(f"GGUF names at most 3 tokens that end a generation, not {len(tokenizer.eos_ids)}")
    return marks | {f"{name}_token_id": token_id for name, token_id in zip(_ENDS, tokenizer.eos_ids, strict=False)}


def _byte_level(content: ByteLevelContent) -> dict[str, Any]:
    by_id = {number: (piece, Kind.NORMAL) for piece, number in content.pieces.items()}
    by_id |= {number: (text, Kind.USER_DEFINED) for text, number in content.user_defined.items()}
    by_id |= {number: (text, Kind.CONTROL) for text, number in content.special.items()}
    entries = [by_id.get(number, (f"[PAD{number}]", Kind.UNUSED)) for number in range(max(by_id) + 1)]
    return {
        "model": "gpt2",
        "pre": name_of(content.convention),
        "tokens": [text for text, _ in entries],
        "token_type": [kind for _, kind in entries],
        "merges": [f"{left} {right}" for left, right in content.merges],
    }


def _sentencepiece(content: SentencePieceContent) -> dict[str, Any]:
    normalisation = content.normalisation
    described: dict[str, Any] = {
        "model": "t5" if content.unigram else "llama",
        "pre": "default",
        "tokens": [_spaced(piece) for piece in content.pieces],
        "scores": [piece.score for piece in content.pieces],
        "token_type": [piece.kind for piece in content.pieces],
        "add_space_prefix": normalisation.prefix,
        "remove_extra_whitespaces": normalisation.squeezes,
    }
    unknown = next((number for number, piece in enumerate(content.pieces) if piece.kind is Kind.UNKNOWN), None)
    if unknown is not None:
        described["unknown_token_id"] = unknown
    if normalisation.character_map:
        described["precompiled_charsmap"] = np.frombuffer(normalisation.character_map, np.uint8)
    return described


def _spaced(piece: Piece) -> str:
    """Converters write the spaces of user-defined tokens as spaces."""
    return piece.text.replace(WORD_BOUNDARY, " ") if piece.kind is Kind.USER_DEFINED else piece.text
