"""The loop of a process that measures: one JSON object a line comes in, one goes out.

Both sides use it, so it needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

Handler = Callable[..., Mapping[str, Any] | None]


def answer(handlers: Mapping[str, Handler]) -> None:
    """Carry out what stdin asks for until it ends; answers go to stdout, and nothing else does.

    A line is {"do": name, ...} with the handler's keyword arguments; its answer is what the handler returns. A handler
    that raises ends the process, whose messages are in its log.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library that prints must not spoil an answer
    for line in sys.stdin:
        wanted = json.loads(line)
        result = handlers[wanted.pop("do")](**wanted)
        print(json.dumps(result or {}), file=answers, flush=True)


def token_ids(count: int, vocabulary: int) -> list[int]:
    """Random ids, the same on both sides."""
    draw = random.Random(count)
    return [draw.randrange(vocabulary) for _ in range(count)]


def timed(work: Callable[[], object]) -> dict[str, float]:
    """What a piece of work takes, in seconds."""
    started = time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - started}


def memory() -> dict[str, int]:
    """Bytes of this process in memory: all, and those that no file stands behind (Linux)."""
    sizes = {}
    with open("/proc/self/status") as status:
        for line in status:
            key, _, value = line.partition(":")
            if key in ("VmRSS", "RssAnon"):
                sizes[key] = int(value.split()[0]) * 1024
    return {"resident": sizes["VmRSS"], "anonymous": sizes["RssAnon"]}
