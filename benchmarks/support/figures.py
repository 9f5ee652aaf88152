"""Ratios, tables, and the line of JSON that every benchmark ends in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any

from freehold import _kernels
from freehold.fitting.measuring import this_machine

# Average number of running processes in the minute before the benchmark began.
LOAD_BEFORE = os.getloadavg()[0]


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """How many times as fast we are: the median over the rounds of their seconds by ours.

    The two of a round were measured one after the other, so what slows the machine down for a while slows both.
    """
    return median(their / our for their, our in zip(theirs, ours, strict=True))


def median_of(values: Iterable[float]) -> float | None:
    """The median; None of nothing."""
    known = list(values)
    return median(known) if known else None


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least a share of all values do not exceed ("nearest rank").

    Raises:
        ValueError: there are no values, or the share is not in (0, 1].
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"no percentile {share:g} of {len(values)} values")
    rank = -int(-share * len(values) // 1)
    return sorted(values)[rank - 1]


def threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def machine() -> dict[str, Any]:
    """What a figure holds for, the day it was measured, and what else the machine did before that."""
    found = this_machine()
    return {
        "processor": found.processor,
        "isa": _kernels.isa(),
        "cores": threads(),
        "load_before": LOAD_BEFORE,
        "date": datetime.now(UTC).date().isoformat(),
    }


def table(rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their contents; the first is flush left, the others right. Floats get three digits or more."""
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    lines = []
    for row in texts:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip())
    return "\n".join(lines)


def _text(cell: object) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell)


def print_result(result: Mapping[str, Any]) -> None:
    """The last line. Four digits are more than a measurement holds."""
    print(json.dumps(_rounded({**result, "machine": machine()})), flush=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
