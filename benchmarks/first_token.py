"""From the start of the process to the first character of an answer, and to the end of `--help`.

    .venv/bin/python benchmarks/first_token.py [--model pebble] [--repeats 5]

Prints the times and, as its last line, JSON with the medians in seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from statistics import median

from freehold.cli.demo import MESSAGE

FREEHOLD = [sys.executable, "-m", "freehold"]


def first_character(*arguments: str) -> float:
    """Seconds until a command has printed its first character; it is left to finish."""
    started = time.perf_counter()
    with subprocess.Popen([*FREEHOLD, *arguments], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        seconds = time.perf_counter() - started
        process.stdout.read()
    if not first or process.returncode != 0:
        raise SystemExit(f"freehold {' '.join(arguments)} failed")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pebble")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    commands = {
        "first_token_seconds": ["run", options.model, MESSAGE, "--temperature", "0", "--max-tokens", "8"],
        "help_seconds": ["--help"],
    }
    results: dict[str, object] = {"model": options.model, "repeats": options.repeats}
    for name, arguments in commands.items():
        times = [first_character(*arguments) for _ in range(options.repeats)]
        print(f"{name}: {', '.join(f'{seconds:.3f}' for seconds in times)}")
        results[name] = round(median(times), 3)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
