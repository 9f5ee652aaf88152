"""Where the server's log goes: stderr, one line per event."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """While it is entered, what Freehold logs is written to stderr, and of uvicorn only what went wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S"))
    ours, theirs = logging.getLogger("freehold"), logging.getLogger("uvicorn")
    before = ours.level, theirs.level
    ours.setLevel(logging.INFO)
    theirs.setLevel(logging.WARNING)
    ours.addHandler(handler)
    theirs.addHandler(handler)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        theirs.removeHandler(handler)
        ours.setLevel(before[0])
        theirs.setLevel(before[1])
