"""How an answer looks: pieces as they come, then what there is to say about it."""

from __future__ import annotations

import sys

from freehold.cli.conversation import Answer
from freehold.cli.output import print_note
from freehold.engine.types import FinishReason


def show_piece(piece: str) -> None:
    """Print a piece of an answer at once."""
    sys.stdout.write(piece)
    sys.stdout.flush()


def show_end(answer: Answer, verbose: bool) -> None:
    """End the answer's last line; say if it was cut, and how long it took."""
    if not answer.text.endswith("\n"):
        print(flush=True)
    if answer.finish_reason is FinishReason.LENGTH and answer.usage is not None:
        print_note(f"the answer was cut after {answer.usage.completion_tokens} tokens, at the limit")
    if verbose:
        print(answer.timings(), file=sys.stderr)
