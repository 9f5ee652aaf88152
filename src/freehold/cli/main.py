"""From the arguments to an exit code: every error that a user can cause ends here, as a message and a hint."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from freehold import __version__
from freehold.cli.output import print_error, print_problem
from freehold.cli.verbs import VerbGroup, WrongUsage
from freehold.errors import FreeholdError

INTERRUPTED = 130

app = typer.Typer(
    cls=VerbGroup,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    subcommand_metavar="VERB ...",
)


@app.callback(invoke_without_command=True)
def overview(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Run and serve open-weight language models on your own hardware."""
    if version:
        print(f"freehold {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: without the program's name; None takes those of the process.

    Returns:
        0 for success, 1 for an error, 2 for wrong usage, 130 after Ctrl-C.
    """
    # A terminal that cannot show a character shows a question mark instead of ending the answer.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        code = app(arguments, prog_name="freehold", standalone_mode=False)
    except KeyboardInterrupt:
        return INTERRUPTED
    except FreeholdError as error:
        print_error(error)
        return 1
    except typer.TyperException as error:
        print_problem(_as_ours(error.format_message()), _usage_hint(error))
        return error.exit_code
    except OSError as error:
        print_problem(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
        return 1
    return code if isinstance(code, int) else 0


def _usage_hint(error: typer.TyperException) -> str | None:
    if isinstance(error, WrongUsage):
        return error.hint
    context = getattr(error, "ctx", None)
    return None if context is None else f"{context.command_path} --help explains the usage"


def _as_ours(message: str) -> str:
    """Typer writes sentences; our messages begin small and have no full stop."""
    return message[:1].lower() + message[1:].removesuffix(".")
