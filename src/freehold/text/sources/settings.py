"""What the files beside a vocabulary say: special tokens, added tokens, what ends a generation, chat templates.

Read are `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json`, `generation_config.json` (or, without
it, the end-of-sequence ids of `config.json`), `chat_template.jinja`, `chat_template.json` and
`additional_chat_templates/*.jinja`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from freehold.errors import TokenizerError
from freehold.text.sources.files import optional_flag, optional_text, read_json_object, read_text, token_id


@dataclass(frozen=True, slots=True)
class AddedPiece:
    """A token that a configuration adds to the vocabulary.

    Attributes:
        text: the token as it stands in texts.
        token_id: its id.
        special: whether it is a control token.
    """

    text: str
    token_id: int
    special: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings beside a vocabulary; None where no file says.

    Attributes:
        bos_token: the text of the token that begins a sequence.
        eos_token: the text of the token that ends one.
        add_bos: whether texts get a BOS.
        add_eos: whether texts get an EOS.
        tokenizer_class: the name of the class in `transformers`.
        legacy: whether text after a control token gets SentencePiece's space.
        add_prefix_space: whether text gets SentencePiece's space at all.
        added: tokens added to the vocabulary, by id.
        eos_ids: the ids that end a generation.
        templates: chat templates by name; the usual one is called `default`.
    """

    bos_token: str | None = None
    eos_token: str | None = None
    add_bos: bool | None = None
    add_eos: bool | None = None
    tokenizer_class: str | None = None
    legacy: bool | None = None
    add_prefix_space: bool | None = None
    added: tuple[AddedPiece, ...] = ()
    eos_ids: tuple[int, ...] = ()
    templates: Mapping[str, str] = field(default_factory=dict)


def read_settings(folder: Path) -> Settings:
    """The settings in a model's folder.

    Raises:
        TokenizerError: a file that is damaged or holds values of the wrong type.
    """
    where = "tokenizer_config.json"
    config = _object_if_there(folder / where)
    tokens = {**_object_if_there(folder / "special_tokens_map.json"), **_without_none(config)}
    return Settings(
        bos_token=_token_text(tokens, "bos_token"),
        eos_token=_token_text(tokens, "eos_token"),
        add_bos=optional_flag(config, "add_bos_token", where),
        add_eos=optional_flag(config, "add_eos_token", where),
        tokenizer_class=optional_text(config, "tokenizer_class", where),
        legacy=optional_flag(config, "legacy", where),
        add_prefix_space=optional_flag(config, "add_prefix_space", where),
        added=_added_pieces(config, folder),
        eos_ids=_eos_ids(folder),
        templates=_templates(folder, config),
    )


def _object_if_there(path: Path) -> dict[str, object]:
    return read_json_object(path) if path.exists() else {}


def _without_none(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}


def _token_text(tokens: Mapping[str, object], key: str) -> str | None:
    """A token's text: written as a string or as an object with `content`."""
    value = tokens.get(key)
    return optional_text(value, "content", key) if isinstance(value, dict) else optional_text(tokens, key, "tokens")


def _added_pieces(config: Mapping[str, object], folder: Path) -> tuple[AddedPiece, ...]:
    pieces: dict[int, AddedPiece] = {}
    plain = _object_if_there(folder / "added_tokens.json")  # older folders: text -> id
    for text, number in plain.items():
        identifier = token_id(number, f"added_tokens.json: {text!r}")
        pieces[identifier] = AddedPiece(text, identifier, special=False)
    decoder = config.get("added_tokens_decoder")
    if decoder is None:
        decoder = {}
    if not isinstance(decoder, dict):
        raise TokenizerError(f"added_tokens_decoder is a {type(decoder).__name__}, expected an object")
    for key, entry in decoder.items():
        where = f"added_tokens_decoder[{key!r:.40}]"
        if not (isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10):
            raise TokenizerError(f"{where}: the key is no token id")
        content = optional_text(entry, "content", where) if isinstance(entry, dict) else None
        if not content:
            raise TokenizerError(f"{where} has no content")
        identifier = token_id(int(key), where)
        pieces[identifier] = AddedPiece(content, identifier, special=bool(optional_flag(entry, "special", where)))
    return tuple(pieces[identifier] for identifier in sorted(pieces))


def _eos_ids(folder: Path) -> tuple[int, ...]:
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        value = read_json_object(path).get("eos_token_id") if path.exists() else None
        if value is not None:
            values = value if isinstance(value, list) else [value]
            return tuple(dict.fromkeys(token_id(item, f"{name}: eos_token_id") for item in values))
    return ()


def _templates(folder: Path, config: Mapping[str, object]) -> dict[str, str]:
    """Chat templates by name; a file beside the tokenizer wins over one inside its configuration."""
    value = config.get("chat_template")
    beside = _object_if_there(folder / "chat_template.json").get("chat_template")
    templates = named_templates(value if beside is None else beside)
    own = folder / "chat_template.jinja"
    if own.exists():
        templates["default"] = read_text(own)
    for path in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        templates[path.stem] = read_text(path)
    return templates


def named_templates(value: object) -> dict[str, str]:
    """Chat templates as configurations write them: one string, or a list of names and templates.

    Raises:
        TokenizerError: neither of these.
    """
    if value is None:
        return {}
    if isinstance(value, str):
        return {"default": value}
    templates: dict[str, str] = {}
    for entry in value if isinstance(value, list) else [value]:
        name = entry.get("name") if isinstance(entry, dict) else None
        template = entry.get("template") if isinstance(entry, dict) else None
        if not (isinstance(name, str) and isinstance(template, str)):
            raise TokenizerError("chat_template is neither a string nor a list of objects with name and template")
        templates[name] = template
    return templates
