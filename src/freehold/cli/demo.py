"""`freehold demo`: the bundled model reads a message, then what to try next. `make run` ends here."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from freehold.cli.conversation import Conversation
from freehold.cli.loading import loaded
from freehold.cli.output import styled
from freehold.cli.showing import Display
from freehold.errors import FreeholdError

MODEL = "pebble"
MESSAGE = "Hello, my order A-48213 never arrived and I leave on Friday. The kettle was a present!"
NEXT_STEPS = (
    ("another message", 'run pebble "Bonjour, ma facture 77310-B est fausse."'),
    ("one after the other", "run pebble"),
    ("OpenAI's API, here", "serve pebble"),
    ("a general model, 0.5 GB", "pull Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M"),
)


def command() -> None:
    """Let the bundled model turn a support message into JSON, on this machine, and say what to try next."""
    with loaded(MODEL, backend="native", dtype=None, context=None) as model:
        print(f"{styled('message', '1', sys.stdout)}  {MESSAGE}\n")
        answer = Conversation(model, {"temperature": 0.0}, None).reply(MESSAGE, Display())
    try:
        json.loads(answer.text)
    except ValueError as error:
        raise FreeholdError(f"{MODEL}'s answer is not JSON: {error}", hint="install Freehold again") from error
    print("\n")
    print(f"{MODEL} answered on this machine: {answer.timings()}\n")
    print(styled("next", "1", sys.stdout))
    for purpose, arguments in NEXT_STEPS:
        print(f"  {purpose:<24} {_program()} {arguments}")


def _program() -> str:
    """How to start Freehold from where it was started: a fresh clone has it in .venv, not on the path."""
    if shutil.which("freehold") is not None:
        return "freehold"
    return sys.argv[0] if Path(sys.argv[0]).name == "freehold" else "python -m freehold"
