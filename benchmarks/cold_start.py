"""From the start of a process to the first token, and what it then has in memory.

    .venv/bin/python benchmarks/cold_start.py [--quick] [--shape 1.2b] [--llama-python PATH]

Commands: `freehold --help` to its end, and `freehold run pebble` to the first character of an answer. A large model:
from starting Python to the first token after a short prompt. On the "first" start the model's file is not in memory
(the system was asked to forget it) and nothing that Freehold keeps for later starts is there; on the "second" both are.
llama.cpp, where it is there, is started by a Python too, and finds the file in memory. Memory is that of the process
after a prompt that fills the context.

The last line is JSON: medians in seconds, memory in bytes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository, for this runs as a script

from benchmarks.support.command import parser, run
from benchmarks.support.figures import print_result, table
from benchmarks.support.files import FileType, cache_folder, model_file
from benchmarks.support.peer import known_python
from benchmarks.support.shapes import SHAPES
from benchmarks.support.sides import Side, llama_side, our_side
from freehold.cli.demo import MESSAGE

FREEHOLD = [sys.executable, "-m", "freehold"]
PROMPT = 16
ANSWER = 4


def to_first_character(*arguments: str) -> float:
    """Seconds until a command has printed its first character; it is left to finish."""
    started = time.perf_counter()
    nothing = subprocess.DEVNULL
    with subprocess.Popen([*FREEHOLD, *arguments], stdin=nothing, stdout=subprocess.PIPE, stderr=nothing) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        seconds = time.perf_counter() - started
        process.stdout.read()
    if not first or process.returncode != 0:
        raise SystemExit(f"freehold {' '.join(arguments)} failed")
    return seconds


def to_end(*arguments: str) -> float:
    """Seconds that a command takes."""
    started = time.perf_counter()
    subprocess.run([*FREEHOLD, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def to_first_token(start: Callable[[], Side], path: Path) -> float:
    """Seconds from the start of a process to a model's first token."""
    started = time.perf_counter()
    with start() as side:
        side.ask(do="load", path=str(path), context=2 * PROMPT)
        side.ask(do="generate", prompt=PROMPT, steps=0)
        return time.perf_counter() - started


def memory(start: Callable[[], Side], path: Path, context: int) -> dict[str, int]:
    """Bytes that a process holds once the model's context is full."""
    with start() as side:
        side.ask(do="load", path=str(path), context=context)
        side.ask(do="generate", prompt=context - ANSWER - 1, steps=ANSWER)
        found: dict[str, int] = side.ask(do="memory")
        return found


def forget(path: Path) -> None:
    """Ask the system to drop a file from memory; it does so where nobody has it mapped."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def empty_home() -> Iterator[dict[str, str]]:
    """Variables under which Freehold finds nothing that it kept before."""
    with TemporaryDirectory() as name:
        yield {"FREEHOLD_HOME": str(Path(name) / "home"), "XDG_CACHE_HOME": str(Path(name) / "cache")}


def starts(path: Path, threads: int, repeats: int) -> dict[str, list[float]]:
    """First and second starts of a model, each first one in an empty home."""
    found: dict[str, list[float]] = {"first_start": [], "second_start": []}
    for _ in range(repeats):
        with empty_home() as home:
            forget(path)
            found["first_start"].append(to_first_token(lambda: our_side(threads, home), path))
            found["second_start"].append(to_first_token(lambda: our_side(threads, home), path))
    return found


def main() -> None:
    arguments = parser(__doc__, peer=True)
    arguments.add_argument("--shape", default="1.2b", help=f"of {', '.join(SHAPES)}")
    arguments.add_argument("--type", type=FileType, default=FileType.Q4_0)
    arguments.add_argument("--repeats", type=int)
    arguments.add_argument("--context", type=int, help="positions, for memory")
    options = arguments.parse_args()
    repeats = options.repeats or (3 if options.quick else 7)
    context = options.context or (512 if options.quick else 4096)
    folder, threads = cache_folder(options.cache), options.threads
    path = model_file(folder, options.shape, options.type)
    python = known_python(options.llama_python, folder)
    question = ["run", "pebble", MESSAGE, "--temperature", "0", "--max-tokens", "8"]
    times = {
        "help": [to_end("--help") for _ in range(repeats)],
        "pebble_first_token": [to_first_character(*question) for _ in range(repeats)],
        **starts(path, threads, repeats),
    }
    held = {"ours": memory(lambda: our_side(threads), path, context)}
    if python is not None:
        times["llama_cpp_start"] = [to_first_token(lambda: llama_side(python, threads), path) for _ in range(repeats)]
        held["llama_cpp"] = memory(lambda: llama_side(python, threads), path, context)
    print(table([["seconds", "median", "least", "most"], *([n, median(t), min(t), max(t)] for n, t in times.items())]))
    print(f"\nmemory, {options.shape} {options.type}, context of {context}")
    print(table([["MB", *next(iter(held.values()))], *([n, *(v / 1e6 for v in m.values())] for n, m in held.items())]))
    seconds = {name: median(found) for name, found in times.items()}
    model = {"model": f"{options.shape} {options.type}", "context": context, "threads": threads, "repeats": repeats}
    print_result({**seconds, "memory": held, **model})


if __name__ == "__main__":
    run(main)
