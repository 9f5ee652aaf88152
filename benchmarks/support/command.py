"""Options that benchmarks share, and what a benchmark does with an error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.support.figures import threads
from benchmarks.support.peer import PeerMissing
from benchmarks.support.probing import ProbeFailed
from benchmarks.support.sides import SideFailed
from freehold.errors import FreeholdError


def parser(description: str | None, *, peer: bool = False) -> argparse.ArgumentParser:
    """A parser with the options that all have, and with those for llama.cpp where it is a part of it."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="fewer and shorter measurements")
    made.add_argument("--cache", type=Path, help="folder for model files and the peer's environment")
    made.add_argument("--threads", type=int, default=threads(), help="of both sides")
    if peer:
        made.add_argument("--llama-python", type=Path, help="a Python that has llama-cpp-python; else one is built")
    return made


def run(main: Callable[[], None]) -> None:
    """Call a benchmark's main function; errors made for people are printed and end the process with 1."""
    try:
        main()
    except FreeholdError as error:
        hint = f"\n\nhint: {error.hint}" if error.hint else ""
        sys.exit(f"error: {error}{hint}")
    except (PeerMissing, ProbeFailed, SideFailed) as error:
        sys.exit(f"error: {error}")
