"""A `tokenizer.json` read as what it consists of, as far as other formats have words for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tokenizers import Tokenizer as LibraryTokenizer

from freehold.errors import TokenizerError
from freehold.text.content import ByteLevelContent, Content, Kind, Normalisation, Piece, SentencePieceContent
from freehold.text.pretokenizers import GPT2, PreTokenizer
from freehold.text.spelling import WORD_BOUNDARY, byte_of_piece


def content_of_json(library: LibraryTokenizer) -> Content:
    """What a library tokenizer consists of.

    Raises:
        TokenizerError: it does something that neither kind of content can express; the part is named.
    """
    state: dict[str, Any] = json.loads(library.to_str())
    model = state["model"]
    if model["type"] != "BPE":
        raise _unsaid("model", model["type"])
    merges = [_pair(merge) for merge in model["merges"]]
    added = {token["content"]: token for token in state["added_tokens"]}
    if model.get("byte_fallback"):
        return _sentencepiece(model["vocab"], merges, added, state)
    return ByteLevelContent(
        pieces={piece: number for piece, number in model["vocab"].items() if piece not in added},
        merges=merges,
        convention=replace(
            _convention(state["pre_tokenizer"]),
            whole_words=bool(model.get("ignore_merges")),
            composes=_composes(state["normalizer"]),
        ),
        special={text: token["id"] for text, token in added.items() if token["special"]},
        user_defined={text: token["id"] for text, token in added.items() if not token["special"]},
    )


def _pair(merge: str | list[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _convention(pre_tokenizer: Mapping[str, Any] | None) -> PreTokenizer:
    """How a byte-level tokenizer cuts words."""
    patterns: list[str] = []
    parts = _parts(pre_tokenizer)
    for part in parts:
        match part:
            case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False}:
                patterns.append(pattern)
            case {"type": "Digits", "individual_digits": True}:
                patterns.append(r"\p{N}")
            case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": bool(use_regex)} if part is parts[-1]:
                return PreTokenizer((*patterns, GPT2) if use_regex else tuple(patterns))
            case _:
                raise _unsaid("pre_tokenizer", part)
    raise _unsaid("pre_tokenizer", pre_tokenizer)


def _parts(section: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    if section is None:
        return []
    if section["type"] == "Sequence":
        return list(section.get("pretokenizers") or section.get("normalizers") or [])
    return [section]


def _composes(normalizer: Mapping[str, Any] | None) -> bool:
    """Whether text is brought to Unicode's NFC; any other normalisation has no words."""
    if normalizer is None:
        return False
    if normalizer == {"type": "NFC"}:
        return True
    raise _unsaid("normalizer", normalizer)


def _sentencepiece(
    vocabulary: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    added: Mapping[str, Mapping[str, Any]],
    state: Mapping[str, Any],
) -> SentencePieceContent:
    """SentencePiece's BPE, as converters put it into a tokenizer.json: the order of merges stands for the scores."""
    rank: dict[str, int] = {}
    for number, merge in enumerate(merges):
        rank.setdefault("".join(merge), number)
    by_id = {number: piece for piece, number in vocabulary.items()}
    by_id |= {token["id"]: text for text, token in added.items()}
    unknown = state["model"].get("unk_token")
    pieces = []
    for number in range(max(by_id) + 1):
        text = by_id.get(number, f"<unused {number}>")
        kind = _kind(text, number in by_id, text == unknown, added.get(text))
        # Pieces that no merge makes are single characters: they never compete.
        pieces.append(Piece(text, float(-rank.get(text, len(merges))) if kind is Kind.NORMAL else 0.0, kind))
    return SentencePieceContent(pieces, unigram=False, normalisation=_normalisation(state))


def _kind(text: str, known: bool, is_unknown: bool, added: Mapping[str, Any] | None) -> Kind:
    if not known:
        return Kind.UNUSED
    if is_unknown:
        return Kind.UNKNOWN
    if added is not None:
        return Kind.CONTROL if added["special"] else Kind.USER_DEFINED
    return Kind.NORMAL if byte_of_piece(text) is None else Kind.BYTE


def _normalisation(state: Mapping[str, Any]) -> Normalisation:
    """Whether a space is put before texts, from either of the two ways in which converters write it."""
    steps = _parts(state["normalizer"])
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": WORD_BOUNDARY}
    prepend = {"type": "Prepend", "prepend": WORD_BOUNDARY}
    if steps in ([prepend, spaces], [spaces]) and state["pre_tokenizer"] is None:
        return Normalisation(prefix=prepend in steps)
    match state["pre_tokenizer"]:
        case {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": str(scheme), "split": False} if not steps:
            return Normalisation(prefix=scheme != "never", prefix_everywhere=scheme == "always")
    raise _unsaid("normalizer", state["normalizer"] or state["pre_tokenizer"])


def _unsaid(part: str, value: object) -> TokenizerError:
    return TokenizerError(
        f"tokenizer.json: the {part} {json.dumps(value)[:120]} cannot be written in another format",
        hint="export to the format that the model came in",
    )
