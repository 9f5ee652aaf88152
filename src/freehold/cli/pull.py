"""`freehold pull`: download a model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from freehold.catalogue import Target, entry_of, find
from freehold.cli.options import JsonOption
from freehold.cli.output import human_bytes, print_json, print_note
from freehold.cli.progress import progress_bar
from freehold.store import pull
from freehold.store.names import model_name


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="qwen2.5:7b and the like, org/name, or org/name:Q4_K_M for a file of a GGUF repository.",
        ),
    ],
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit; otherwise the main branch.")] = None,
    json: JsonOption = False,
) -> None:
    """Download a model from the hub, or continue an interrupted download.

    `freehold models` lists the short names. HF_ENDPOINT names another hub, HF_TOKEN opens private and gated models,
    HF_HUB_OFFLINE=1 forbids the network.
    """
    target = find(model)
    _announce(model, target)
    try:
        with progress_bar(unit_bytes=True) as report:
            stored = pull(model, revision=revision, progress=report)
    except KeyboardInterrupt:
        print_note("what has arrived is kept; the same command continues")
        raise
    if json:
        short = None if target is None else target.name
        print_json(asdict(stored) | {"path": str(stored.path), "short_name": short})
        return
    licence = f", licence {stored.licence}" if stored.licence else ""
    print(f"{stored.name}: {human_bytes(stored.size)} {stored.format}{licence}")
    print(f"\nfreehold run {stored.name if target is None else target.name}")


def _announce(model: str, target: Target | None) -> None:
    """Say what a short name stands for and what the licence asks for, before anything is downloaded."""
    if target is not None:
        print_note(f"{target.name} is {target.reference}; {target.entry.obligations()}")
        return
    entry = entry_of(model_name(model).repository)
    if entry is not None:
        print_note(entry.obligations())
