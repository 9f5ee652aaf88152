"""What the command line prints: data on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from freehold.errors import FreeholdError

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def print_error(error: FreeholdError) -> None:
    """`error: ...`, and after a blank line the hint if there is one."""
    print_problem(error.message, error.hint)


def print_problem(message: str, hint: str | None = None) -> None:
    """As `print_error`, for problems that are not one of our errors."""
    print(f"{styled('error', '1;31', sys.stderr)}: {message}", file=sys.stderr)
    if hint is not None:
        print(f"\n{styled('hint', '1;36', sys.stderr)}: {hint}", file=sys.stderr)


def print_note(message: str) -> None:
    """A remark that is neither data nor an error."""
    print(f"{styled('note', '1;33', sys.stderr)}: {message}", file=sys.stderr)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, optional: Sequence[str] = ()) -> None:
    """Columns as wide as their widest cell, two spaces apart.

    Args:
        optional: columns that a terminal too narrow for all goes without, the first ones first; a note names them.
    """
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    hidden: list[str] = []
    kept = list(range(len(header)))
    room = terminal_width()
    while room is not None and len(hidden) < len(optional) and sum(widths[column] + 2 for column in kept) - 2 > room:
        kept.remove(header.index(optional[len(hidden)]))
        hidden.append(optional[len(hidden)])
    for row in [header, *rows]:
        print("  ".join(row[column].ljust(widths[column]) for column in kept).rstrip())
    if hidden:
        print_note(f"a wider terminal also shows {', '.join(hidden)}; so does --json")


def terminal_width() -> int | None:
    """Columns of the terminal that standard output goes to; None where it goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def styled(text: str, code: str, stream: TextIO) -> str:
    """The text in an ANSI style, where the stream is a terminal and NO_COLOR is not set."""
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def human_bytes(count: float) -> str:
    """Bytes in decimal units, as disks and downloads count them: 8030000 -> "8.0 MB"."""
    value = float(count)
    for unit in _UNITS[:-1]:
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_UNITS[-1]}"


def human_count(count: int) -> str:
    """A number of parameters: 1235814400 -> "1.24 B"."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return str(count)
