"""`freehold demo`: the bundled model reads a message, then what to try next. `make run` ends here."""

from __future__ import annotations

import json
import sys

from freehold.cli.conversation import Conversation
from freehold.cli.loading import loaded
from freehold.cli.output import styled
from freehold.cli.showing import show_piece
from freehold.errors import FreeholdError

MODEL = "pebble"
MESSAGE = "Hello, my order A-48213 never arrived and I leave on Friday. The kettle was a present!"
NEXT_STEPS = (
    ('freehold run pebble "Bonjour, la facture de ma commande 77310-B est fausse."', "another message"),
    ("freehold run pebble", "one message after the other"),
    ("freehold serve pebble", "the same model behind OpenAI's HTTP API"),
    ("freehold pull Qwen/Qwen2.5-0.5B-Instruct-GGUF:q4_k_m", "a general model, 0.5 GB"),
)


def command() -> None:
    """Let the bundled model turn a support message into JSON, on this machine, and say what to try next."""
    with loaded(MODEL, backend="native", dtype=None, context=None) as model:
        print(f"{styled('message', '1', sys.stdout)}  {MESSAGE}\n")
        answer = Conversation(model, {"temperature": 0.0}, None).reply(MESSAGE, show_piece)
    try:
        json.loads(answer.text)
    except ValueError as error:
        raise FreeholdError(f"{MODEL}'s answer is not JSON: {error}", hint="install Freehold again") from error
    print("\n")
    print(f"{MODEL} answered on this machine: {answer.timings()}\n")
    print(f"{styled('next', '1', sys.stdout)}")
    width = max(len(line) for line, _ in NEXT_STEPS)
    for line, purpose in NEXT_STEPS:
        print(f"  {line.ljust(width)}  {purpose}")
