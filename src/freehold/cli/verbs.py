"""The table of verbs, and a command group that imports a verb's module only when that verb is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from freehold.store.names import nearest


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: the module whose `command` it runs, and a line for the overview; None keeps it out of there."""

    module: str
    summary: str | None


VERBS = {
    "run": Verb("run", "Answer a prompt, or chat when there is none"),
    "serve": Verb("serve", "Serve models over OpenAI's HTTP API"),
    "embed": Verb("embed", "Turn texts into vectors"),
    "pull": Verb("pull", "Download a model, or continue an interrupted download"),
    "models": Verb("models", "Search the models that can be pulled by a short name"),
    "fit": Verb("fit", "Say whether models fit this machine, before they are downloaded"),
    "ls": Verb("ls", "List the models on this machine"),
    "list": Verb("ls", None),
    "show": Verb("show", "Describe a model, and the memory it needs"),
    "rm": Verb("rm", "Delete pulled models"),
    "export": Verb("export", "Write a model as GGUF or safetensors"),
    "bench": Verb("bench", "Measure how fast a model runs here"),
    "demo": Verb("demo", "Let the bundled model read a message"),
}


class WrongUsage(typer.TyperException):
    """The command line was not understood. The program exits with code 2."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class VerbGroup(TyperGroup):
    """Looks verbs up in the table. The overview is printed without importing any of them."""

    def list_commands(self, ctx: object) -> list[str]:
        return [name for name, verb in VERBS.items() if verb.summary is not None]

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand:
        if cmd_name not in VERBS:
            close = nearest(cmd_name, VERBS)
            raise WrongUsage(
                f"there is no verb {cmd_name!r}",
                hint=f"did you mean {' or '.join(close)}?" if close else "freehold --help lists the verbs",
            )
        return load_verb(cmd_name, import_module(f"freehold.cli.{VERBS[cmd_name].module}").command)

    def format_commands(self, ctx: object, formatter: Any) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items() if verb.summary is not None])


def load_verb(name: str, function: Callable[..., None]) -> TyperCommand:
    """The command that a verb's function describes by its parameters."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.command(name)(function)
    command = typer.main.get_command(app)
    assert isinstance(command, TyperCommand)
    return command
