"""`freehold rm`: delete pulled models."""

from __future__ import annotations

from typing import Annotated

import typer

from freehold.store import remove


def command(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Names as freehold ls shows them.")],
) -> None:
    """Delete pulled models, and whatever interrupted pulls of them left behind.

    A name without a variant deletes all variants. Content that another model uses too is kept.
    """
    for name in models:
        for removed in remove(name) or [f"unfinished downloads of {name}"]:
            print(f"removed {removed}")
