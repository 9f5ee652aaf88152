"""Finds a model's tokenizer and chat template, whatever files they are in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from freehold.errors import TokenizerError
from freehold.text.dialects import DIALECTS, Dialect, dialect_of
from freehold.text.sources.files import optional_text
from freehold.text.sources.gguf import gguf_tokenizer
from freehold.text.sources.merges import vocab_and_merges_tokenizer
from freehold.text.sources.sentencepiece_file import sentencepiece_file_tokenizer
from freehold.text.sources.settings import Settings, named_templates, read_settings
from freehold.text.sources.tekken import tekken_tokenizer
from freehold.text.sources.tiktoken import is_rank_file, tiktoken_tokenizer
from freehold.text.sources.tokenizer_json import json_tokenizer
from freehold.text.sources.wordpiece import vocab_txt_tokenizer
from freehold.text.template import ChatTemplate
from freehold.text.tokenizer import Tokenizer
from freehold.text.turns import turn_ends


@dataclass(frozen=True, slots=True)
class Text:
    """What turns text into tokens and conversations into text.

    Attributes:
        tokenizer: text to ids and back.
        template: conversations to text, where the model has a chat template.
    """

    tokenizer: Tokenizer
    template: ChatTemplate | None

    @property
    def dialect(self) -> Dialect:
        """How the model writes reasoning and calls of functions."""
        template = self.template
        sources = () if template is None else (template.source, template.tool_use or "")
        return DIALECTS[dialect_of("".join(sources), self.tokenizer.special_tokens)]

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Every token that ends an answer: those that the model's settings name, and those that are known to."""
        special = self.tokenizer.special_tokens
        known = sorted(special[name] for name in turn_ends(special.keys()))
        return tuple(dict.fromkeys([*self.tokenizer.eos_ids, *known]))


def load_text(folder: Path) -> Text | None:
    """The tokenizer and chat template in a model's folder, or None where there is no tokenizer.

    Looked for are, in this order: `tokenizer.json`, `tekken.json`, `tokenizer.model` (SentencePiece or ranks) or any
    other single `.model` file, a single `.tiktoken` file, `vocab.json` (with `merges.txt`), and BERT's `vocab.txt`.

    Raises:
        TokenizerError: files that are damaged, hostile, of an unknown kind, or more than one of a kind.
    """
    settings = read_settings(folder)
    tokenizer = _folder_tokenizer(folder, settings)
    if tokenizer is None:
        return None
    return Text(tokenizer, _template(settings.templates, tokenizer, settings.bos_token, settings.eos_token))


def text_from_gguf(metadata: Mapping[str, object]) -> Text | None:
    """The tokenizer and chat template in a GGUF file's metadata, or None where it has no vocabulary.

    Raises:
        TokenizerError: a vocabulary that is damaged, hostile or of an unknown kind.
    """
    tokenizer = gguf_tokenizer(metadata)
    if tokenizer is None:
        return None
    key = "tokenizer.chat_template"
    templates = named_templates(optional_text(metadata, key, "GGUF"))
    for name in metadata:
        text = optional_text(metadata, name, "GGUF") if name.startswith(key + ".") else None
        if text is not None:
            templates[name.removeprefix(key + ".")] = text
    return Text(tokenizer, _template(templates, tokenizer, None, None))


def _folder_tokenizer(folder: Path, settings: Settings) -> Tokenizer | None:
    if (folder / "tokenizer.json").exists():
        return json_tokenizer(folder / "tokenizer.json", settings)
    if (folder / "tekken.json").exists():
        return tekken_tokenizer(folder / "tekken.json", settings)
    model = folder / "tokenizer.model"
    found = model if model.exists() else _only(folder, "*.model", "*.model.v*")
    if found is not None:
        return model_file_tokenizer(found, settings)
    ranks = _only(folder, "*.tiktoken")
    if ranks is not None:
        return tiktoken_tokenizer(ranks, settings)
    if (folder / "vocab.json").exists():
        return vocab_and_merges_tokenizer(folder, settings)
    return vocab_txt_tokenizer(folder / "vocab.txt") if (folder / "vocab.txt").exists() else None


def model_file_tokenizer(path: Path, settings: Settings) -> Tokenizer:
    """A tokenizer from a `.model` file, which may be SentencePiece's or a rank file.

    Raises:
        TokenizerError: a damaged file or an unknown kind.
    """
    return tiktoken_tokenizer(path, settings) if is_rank_file(path) else sentencepiece_file_tokenizer(path, settings)


def _only(folder: Path, *patterns: str) -> Path | None:
    found = sorted(path for pattern in patterns for path in folder.glob(pattern))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise TokenizerError(f"several tokenizer files: {names}", hint="keep the one that belongs to the model")
    return found[0] if found else None


def _template(
    templates: Mapping[str, str], tokenizer: Tokenizer, bos_token: str | None, eos_token: str | None
) -> ChatTemplate | None:
    """The chat template among named ones; a model with only one template means that one, whatever its name."""
    if not templates:
        return None
    source = templates.get("default") or (next(iter(templates.values())) if len(templates) == 1 else None)
    if source is None:
        raise TokenizerError(f"chat templates named {', '.join(templates)}, but none named default")
    return ChatTemplate(
        source,
        bos_token=_name(tokenizer, bos_token, tokenizer.bos_id),
        eos_token=_name(tokenizer, eos_token, next(iter(tokenizer.eos_ids), None)),
        tool_use=templates.get("tool_use"),
    )


def _name(tokenizer: Tokenizer, given: str | None, token_id: int | None) -> str:
    """The text of a token for templates: as the settings write it, else as the vocabulary does."""
    if given is not None:
        return given
    return "" if token_id is None else tokenizer.token_text(token_id)
