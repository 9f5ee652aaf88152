"""`freehold rm`: delete pulled models and packed weights."""

from __future__ import annotations

from typing import Annotated

import typer

from freehold.cli.output import human_bytes
from freehold.cli.verbs import WrongUsage
from freehold.packed.folder import clear, kept, sweep
from freehold.store import remove
from freehold.store.home import Home


def command(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL...]", help="Names as freehold ls shows them.")
    ] = None,
    packed: Annotated[
        bool, typer.Option("--packed", help="Delete the packed weights of all models; the next start packs again.")
    ] = False,
) -> None:
    """Delete pulled models with their packed weights, and whatever interrupted pulls of them left behind.

    A name without a variant deletes all variants. Content that another model uses too is kept.
    """
    if not models and not packed:
        raise WrongUsage("no model is named", hint="freehold ls lists them; --packed deletes packed weights")
    for name in models or ():
        for removed in remove(name) or [f"unfinished downloads of {name}"]:
            print(f"removed {removed}")
    folder = Home.from_environment().packed
    sweep(folder)
    if packed:
        files = kept(folder)
        clear(folder)
        print(f"removed packed weights: {human_bytes(sum(file.size for file in files))}")
