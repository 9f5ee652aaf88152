"""`freehold ls`: the models on this machine."""

from __future__ import annotations

from dataclasses import asdict

from freehold.cli.options import JsonOption
from freehold.cli.output import human_bytes, print_json, print_note, print_problem, print_table
from freehold.packed.folder import kept
from freehold.store import StoredModel, list_models
from freehold.store.home import Home


def command(json: JsonOption = False) -> None:
    """List the bundled and the pulled models."""
    models = list_models()
    if json:
        print_json([asdict(model) | {"path": str(model.path)} for model in models])
        return
    print_table(["NAME", "FORMAT", "SIZE", "LICENCE", "PULLED"], [_row(model) for model in models])
    files = kept(Home.from_environment().packed)
    if files:
        size = human_bytes(sum(file.size for file in files))
        print_note(f"packed weights that make starts faster take {size}; freehold rm --packed deletes them")
    for model in models:
        if model.problem is not None:
            print_problem(f"{model.name} is damaged: {model.problem}", f"freehold pull {model.name} repairs it")


def _row(model: StoredModel) -> list[str]:
    pulled = model.source if model.pulled is None else model.pulled[:10]
    return [model.name, model.format, human_bytes(model.size), model.licence or "not stated", pulled]
