"""Looking models up: by short name, by repository, by words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from freehold.catalogue.entries import Entry, Family, Licence, Release
from freehold.catalogue.reading import read_family, read_languages, read_licences

DATA = Path(__file__).parent / "data"
LATEST = "latest"  # what other tools call the tag that a name alone means


@dataclass(frozen=True, slots=True)
class Target:
    """What a short name stands for.

    Attributes:
        name: the short name, spelled out: "qwen2.5:7b-q4_k_m".
        entry: the model.
        release: the form of it that is meant; None for its own repository.
    """

    name: str
    entry: Entry
    release: Release | None = None

    @property
    def hub(self) -> str:
        """The repository, owner/name."""
        return self.entry.hub if self.release is None else self.release.hub

    @property
    def reference(self) -> str:
        """The repository, with the quantisation where it is a GGUF repository's: owner/name:Q4_K_M."""
        variant = None if self.release is None else self.release.variant
        return self.hub if variant is None else f"{self.hub}:{variant}"


@cache
def licences() -> Mapping[str, Licence]:
    """Identifier -> licence."""
    return read_licences(DATA / "licences.toml")


@cache
def languages() -> Mapping[str, str]:
    """ISO 639 code -> English name."""
    return read_languages(DATA / "languages.toml")


def family(name: str) -> Family | None:
    """The family of that name, in lower case."""
    path = _files().get(name)
    return None if path is None else _read(path)


@cache
def families() -> tuple[Family, ...]:
    """All families by name."""
    return tuple(_read(path) for path in _files().values())


def find(text: str) -> Target | None:
    """What a short name stands for: "llama3.3", "qwen2.5:7b", "qwen2.5:7b-q4_k_m"; case does not count."""
    name, colon, tag = text.casefold().partition(":")
    found = family(name)
    if found is None or (colon and not tag):
        return None
    tag = found.default if tag in ("", LATEST) else tag
    for entry in found.entries:
        if tag == entry.tag:
            return Target(entry.name, entry)
        for release in entry.releases:
            if tag == f"{entry.tag}-{release.tag}":
                return Target(f"{entry.name}-{release.tag}", entry, release)
    return None


def entry_of(hub: str) -> Entry | None:
    """The model that a repository, owner/name, holds in one form or another; case does not count."""
    wanted = hub.casefold()
    for entry in _entries():
        if wanted in (entry.hub.casefold(), *(release.hub.casefold() for release in entry.releases)):
            return entry
    return None


def short_names() -> list[str]:
    """Every name that `find` knows, in one spelling each; quantised releases are left to their models."""
    return [name for found in families() for name in (found.name, *(entry.name for entry in found.entries))]


def search(words: Sequence[str]) -> list[Entry]:
    """Models for which every word is part of the name, family, maker or licence, or is a language or its code."""
    wanted = [word.casefold() for word in words]
    return [
        entry for found in families() for entry in found.entries if all(_matches(word, found, entry) for word in wanted)
    ]


def _matches(word: str, found: Family, entry: Entry) -> bool:
    texts = [entry.name, found.title, found.maker, entry.hub]
    texts += [text for licence in entry.licences for text in (licence.id, licence.name)]
    if any(word in text.casefold() for text in texts):
        return True
    return any(word in (code, languages()[code].casefold()) for code in entry.languages)


@cache
def _files() -> Mapping[str, Path]:
    """Family -> its file."""
    return {path.stem: path for path in sorted((DATA / "families").glob("*.toml"))}


@cache
def _read(path: Path) -> Family:
    return read_family(path, licences(), languages())


def _entries() -> list[Entry]:
    return [entry for found in families() for entry in found.entries]
