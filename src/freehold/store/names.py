"""Names of pulled models. They become paths, so what is not plainly a name is refused.

A short name of the catalogue, such as qwen2.5:7b, stands for the name on the hub that it resolves to.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from freehold.catalogue import Family, family, find, short_names
from freehold.errors import StoreError

HUB_PREFIX = "hf:"
_LOOKS = "looks like org/name, or org/name:Q4_K_M for one file of a GGUF repository"
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?P<organisation>{_PART})/(?P<name>{_PART})(?::(?P<variant>{_PART}))?")


@dataclass(frozen=True, slots=True)
class ModelName:
    """organisation/name[:variant], as the hub spells it.

    Attributes:
        variant: the quantisation of a GGUF file, or "safetensors"; None where the name does not say.
    """

    organisation: str
    name: str
    variant: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Read `org/name`, `hf:org/name` or `org/name:Q4_K_M`.

        Raises:
            StoreError: the text is not such a name.
        """
        match = _NAME.fullmatch(text.removeprefix(HUB_PREFIX))
        if match is None or ".." in text:
            raise StoreError(
                f"{text!r} is not a model name",
                hint=f"a name {_LOOKS}",
            )
        return cls(match["organisation"], match["name"], match["variant"])

    @property
    def repository(self) -> str:
        """organisation/name, without the variant."""
        return f"{self.organisation}/{self.name}"

    def covers(self, variant: str) -> bool:
        """Whether the name means this variant, or any."""
        return self.variant is None or self.variant.casefold() == variant.casefold()

    def __str__(self) -> str:
        return self.repository if self.variant is None else f"{self.repository}:{self.variant}"


def model_name(text: str) -> ModelName:
    """The name on the hub that a text stands for: it is one, or it is a short name of the catalogue.

    Raises:
        StoreError: it is neither; the nearest short names are in the hint.
    """
    target = find(text)
    if target is not None:
        return ModelName.parse(target.reference)
    short, colon, tag = text.casefold().partition(":")
    known = family(short)
    if known is not None and colon:
        raise _no_such_tag(known, tag)
    try:
        return ModelName.parse(text)
    except StoreError as error:
        close = nearest(text, short_names())
        guess = f"did you mean {' or '.join(close)}? " if close else ""
        hint = f"{guess}freehold models lists the short names; any other {_LOOKS}"
        raise StoreError(error.message, hint=hint) from error


def _no_such_tag(known: Family, tag: str) -> StoreError:
    """The error for a family that the catalogue has, without that model or that form of it."""
    tags = [entry.tag for entry in known.entries]
    for entry in known.entries:
        if tag.startswith(f"{entry.tag}-"):
            tags = [entry.tag, *(f"{entry.tag}-{release.tag}" for release in entry.releases)]
    # A relative may have it: there is no deepseek-r1:7b, but a deepseek-r1-distill:qwen-7b.
    related = [name for name in short_names() if name.startswith(known.name) and name.endswith(f"-{tag}")]
    close = related or [f"{known.name}:{other}" for other in nearest(tag, tags)[:1]]
    hint = f"did you mean {' or '.join(close)}?" if close else f"freehold models {known.name} lists them"
    return StoreError(f"{known.name} has no {tag!r} in the catalogue; it has {', '.join(tags)}", hint=hint)


def nearest(name: str, candidates: Iterable[str]) -> list[str]:
    """Up to three candidates that look like the name, the most alike first; case does not count."""
    spellings = {candidate.casefold(): candidate for candidate in candidates}
    return [spellings[close] for close in difflib.get_close_matches(name.casefold(), spellings, n=3, cutoff=0.5)]
