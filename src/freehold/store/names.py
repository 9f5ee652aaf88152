"""Names of pulled models. They become paths, so what is not plainly a name is refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from freehold.errors import StoreError

HUB_PREFIX = "hf:"
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
                hint="a name looks like org/name, or org/name:Q4_K_M for one file of a GGUF repository",
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


def nearest(name: str, candidates: Iterable[str]) -> list[str]:
    """Up to three candidates that look like the name, the most alike first; case does not count."""
    spellings = {candidate.casefold(): candidate for candidate in candidates}
    return [spellings[close] for close in difflib.get_close_matches(name.casefold(), spellings, n=3, cutoff=0.5)]
