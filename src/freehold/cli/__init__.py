"""The command line: one module per verb, imported when the verb is used."""

from freehold.cli.main import main

__all__ = ["main"]
