"""`freehold pull`: download a model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from freehold.cli.options import JsonOption
from freehold.cli.output import human_bytes, print_json, print_note
from freehold.cli.progress import progress_bar
from freehold.store import pull


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="org/name, or org/name:Q4_K_M for one file of a GGUF repository.")
    ],
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit; otherwise the main branch.")] = None,
    json: JsonOption = False,
) -> None:
    """Download a model from the hub, or continue an interrupted download.

    HF_ENDPOINT names another hub, HF_TOKEN opens private and gated models, HF_HUB_OFFLINE=1 forbids the network.
    """
    try:
        with progress_bar(unit_bytes=True) as report:
            stored = pull(model, revision=revision, progress=report)
    except KeyboardInterrupt:
        print_note("what has arrived is kept; the same command continues")
        raise
    if json:
        print_json(asdict(stored) | {"path": str(stored.path)})
        return
    licence = f", licence {stored.licence}" if stored.licence else ""
    print(f"{stored.name}: {human_bytes(stored.size)} {stored.format}{licence}")
    print(f"\nfreehold run {stored.name}")
