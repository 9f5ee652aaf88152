"""A tokenizer as the files of a Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import NFC, Normalizer, Prepend, Replace
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.processors import TemplateProcessing

from freehold.errors import TokenizerError
from freehold.text.content import ByteLevelContent, Content, Kind, SentencePieceContent
from freehold.text.sources.byte_level import pre_tokenizer_of
from freehold.text.sources.merges_of_pieces import merges_of_pieces
from freehold.text.spelling import WORD_BOUNDARY
from freehold.text.template import ChatTemplate
from freehold.text.tokenizer import Tokenizer


def write_text_files(
    tokenizer: Tokenizer, template: ChatTemplate | None, sampling: Mapping[str, Any], folder: Path
) -> None:
    """Write tokenizer.json, tokenizer_config.json and generation_config.json.

    Args:
        sampling: what generation_config.json says besides the ends of a generation.

    Raises:
        TokenizerError: the format has no words for this tokenizer.
    """
    content = tokenizer.content()
    library = _byte_level(content) if isinstance(content, ByteLevelContent) else _sentencepiece(content)
    library.add_tokens([AddedToken(text, special=False, normalized=False) for text in _user_defined(content)])
    library.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in tokenizer.special_tokens])
    _add_marks(library, tokenizer)
    library.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": bool(tokenizer.opening),
        "add_eos_token": bool(tokenizer.closing),
    }
    generation: dict[str, Any] = {**sampling, "eos_token_id": list(tokenizer.eos_ids)}
    if tokenizer.bos_id is not None:
        settings["bos_token"] = tokenizer.token_text(tokenizer.bos_id)
        generation["bos_token_id"] = tokenizer.bos_id
    if tokenizer.eos_ids:
        settings["eos_token"] = tokenizer.token_text(tokenizer.eos_ids[0])
    if template is not None:
        named = [{"name": "default", "template": template.source}, {"name": "tool_use", "template": template.tool_use}]
        settings["chat_template"] = template.source if template.tool_use is None else named
    for name, values in (("tokenizer_config.json", settings), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _user_defined(content: Content) -> list[str]:
    if isinstance(content, ByteLevelContent):
        return list(content.user_defined)
    return [piece.text for piece in content.pieces if piece.kind is Kind.USER_DEFINED]


def _byte_level(content: ByteLevelContent) -> LibraryTokenizer:
    vocabulary = {**content.pieces, **content.user_defined, **content.special}
    library = LibraryTokenizer(
        BPE(vocab=vocabulary, merges=list(content.merges), ignore_merges=content.convention.whole_words)
    )
    if content.convention.composes:
        library.normalizer = NFC()
    library.pre_tokenizer = pre_tokenizer_of(content.convention)
    library.decoder = decoders.ByteLevel()
    return library


def _sentencepiece(content: SentencePieceContent) -> LibraryTokenizer:
    normalisation = content.normalisation
    if content.unigram or normalisation.squeezes or normalisation.character_map:
        raise TokenizerError(
            "SentencePiece's Unigram models and character maps are not written as tokenizer.json",
            hint="export to the format that the model came in",
        )
    unknown = next((piece.text for piece in content.pieces if piece.kind is Kind.UNKNOWN), None)
    library = LibraryTokenizer(
        BPE(
            vocab={piece.text: number for number, piece in enumerate(content.pieces)},
            merges=merges_of_pieces(content.pieces),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=any(piece.kind is Kind.BYTE for piece in content.pieces),
        )
    )
    steps: list[Normalizer] = [Prepend(WORD_BOUNDARY)] if normalisation.prefix else []
    library.normalizer = Normalizers([*steps, Replace(" ", WORD_BOUNDARY)])
    joined = [decoders.Replace(WORD_BOUNDARY, " "), decoders.ByteFallback(), decoders.Fuse()]
    library.decoder = decoders.Sequence([*joined, decoders.Strip(" ", 1, 0)] if normalisation.prefix else joined)
    return library


def _add_marks(library: LibraryTokenizer, tokenizer: Tokenizer) -> None:
    """Have the library put the same tokens around texts."""
    names = {number: tokenizer.token_text(number) for number in (*tokenizer.opening, *tokenizer.closing)}
    if names:
        around = [names[number] for number in tokenizer.opening] + ["$A"] + [names[n] for n in tokenizer.closing]
        library.post_processor = TemplateProcessing(
            single=around, special_tokens=[(name, number) for number, name in names.items()]
        )
