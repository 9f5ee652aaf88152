"""What people do to a sentence when they type it: letters swapped, accents left out, capitals everywhere or nowhere.

A message is a list of segments. Order numbers are never touched, products keep their letters (only case and accents
change), so that the answer can still be read off the message.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Segment:
    """A piece of a message, and what it is."""

    text: str
    kind: Literal["plain", "product", "order"] = "plain"


_WORD = re.compile(r"[^\W\d_]{5,}")


def without_accents(text: str) -> str:
    """The text with accents and cedillas removed; the Spanish ñ goes too."""
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if unicodedata.category(letter) != "Mn")


def typo(word: str, rng: random.Random) -> str:
    """The word with one slip of the finger; its first letter stays."""
    at = rng.randint(1, len(word) - 2)
    slip = rng.randrange(4)
    if slip == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if slip == 1:
        return word[:at] + word[at + 1 :]
    if slip == 2:
        return word[:at] + word[at] + word[at:]
    return word[:at] + rng.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :]


def _change(segments: list[Segment], kinds: tuple[str, ...], change: Callable[[str], str]) -> list[Segment]:
    return [replace(part, text=change(part.text)) if part.kind in kinds else part for part in segments]


def add_noise(segments: list[Segment], rng: random.Random) -> list[Segment]:
    """The message as typed in a hurry; about half of the messages come back unchanged."""
    if rng.random() < 0.3:
        rate = rng.choice((0.04, 0.08, 0.15))
        segments = _change(
            segments,
            ("plain",),
            lambda text: _WORD.sub(lambda word: typo(word[0], rng) if rng.random() < rate else word[0], text),
        )
    if rng.random() < 0.2:
        segments = _change(segments, ("plain", "product"), without_accents)
    if rng.random() < 0.15:
        segments = _change(segments, ("plain",), lambda text: re.sub(r"[.,!?¿¡]", "", text))
    elif rng.random() < 0.3:
        segments = _change(segments, ("plain",), lambda text: re.sub(r"[¿¡]", "", text))
    case = rng.random()
    if case < 0.18:
        segments = _change(segments, ("plain", "product"), str.lower)
    elif case < 0.21:
        segments = _change(segments, ("plain", "product"), str.upper)
    return segments
