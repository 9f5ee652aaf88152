"""Reasoning before the answer, between two markers."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.text.dialects.reading import Reader, Steps


@dataclass(frozen=True, slots=True)
class Markers:
    """What reasoning stands between."""

    opening: str
    closing: str


THINK = Markers("<think>", "</think>")


def read_reasoning(read: Reader, *kinds: Markers) -> Steps[None]:
    """Reads the reasoning, if the answer begins with one or the prompt ended inside of it.

    The markers mean something only here: an answer may well talk about them. What is never closed is all reasoning.

    Args:
        kinds: pairs of markers; the prompt opens the first.
    """
    closings = {read.marker(kind.opening): read.marker(kind.closing) for kind in kinds}
    opening = None if read.setting.thinking else (yield from read.opens_with(*closings))
    if opening is None and not read.setting.thinking:
        return
    closing = read.marker(kinds[0].closing) if opening is None else closings[opening]
    read.out.separate()
    yield from read.until((closing,), read.out.reasoning)
    read.out.separate()
