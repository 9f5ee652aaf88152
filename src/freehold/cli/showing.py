"""How an answer looks: pieces as they come, then what there is to say about it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from freehold.cli.conversation import Answer
from freehold.cli.output import print_note, styled
from freehold.engine.types import FinishReason

if TYPE_CHECKING:
    from freehold.text.dialects import Event


class Display:
    """Prints an answer as it comes; what the model thinks before it goes to standard error, dimmed."""

    def __init__(self) -> None:
        self._thinks = False

    def __call__(self, event: Event) -> None:
        from freehold.text.dialects import Content, Reasoning  # not for `--help`

        if isinstance(event, Reasoning):
            self._thinks = True
            print(styled(event.text, "2", sys.stderr), end="", file=sys.stderr, flush=True)
        elif isinstance(event, Content):
            if self._thinks:
                self._thinks = False
                print("\n", file=sys.stderr, flush=True)
            sys.stdout.write(event.text)
            sys.stdout.flush()


def show_end(answer: Answer, verbose: bool) -> None:
    """End the answer's last line; say if it was cut, and how long it took."""
    if not answer.text.endswith("\n"):
        print(flush=True)
    if answer.finish_reason is FinishReason.LENGTH and answer.usage is not None:
        print_note(f"the answer was cut after {answer.usage.completion_tokens} tokens, at the limit")
    if verbose:
        print(answer.timings(), file=sys.stderr)
