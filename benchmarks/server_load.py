"""Servers under open-loop load: time to the first token, time between tokens, throughput.

    .venv/bin/python benchmarks/server_load.py [--quick] [--rates 0.5,1,2] [--llama-python PATH]

Requests arrive at random (a Poisson process with a fixed seed, so the same for all servers) over HTTP on the loopback
and stream completions of a fixed length; no two prompts share a beginning. The model has a real shape, random weights
and the vocabulary of the bundled pebble. llama-cpp-python's server is loaded in the same way where its Python is there
and has what the server needs; it computes one request at a time. Time to the first token counts from when a request was
due, so that waiting is part of it. Percentiles are over requests, or over gaps between pieces of text of all requests.

The last line is JSON: for every server and rate the percentiles in seconds, and tokens per second.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository, for this runs as a script

from benchmarks.support.command import parser, run
from benchmarks.support.figures import print_result, table
from benchmarks.support.files import FileType, cache_folder, text_model
from benchmarks.support.load import Arrival, arrivals, load, summary
from benchmarks.support.peer import has_server, known_python
from benchmarks.support.servers import free_port, llama_server, our_server, running
from benchmarks.support.shapes import SHAPES

WARM_UP = Arrival(0.0, "warm up")
CONTEXT = 4096
COLUMNS = (
    "answered",
    "failed",
    "tokens_per_second",
    "first_token_p50",
    "first_token_p99",
    "inter_token_p50",
    "inter_token_p99",
)


def under_load(
    command: list[str], port: int, threads: int, loads: dict[float, Sequence[Arrival]], tokens: int
) -> dict[str, dict[str, object]]:
    """A server's figures at every rate."""
    with running(command, port, {**os.environ, "FREEHOLD_THREADS": str(threads)}) as model:
        load(port, model, [WARM_UP], 2)
        return {f"{rate:g}": summary(load(port, model, wanted, tokens)) for rate, wanted in loads.items()}


def main() -> None:
    arguments = parser(__doc__, peer=True)
    arguments.add_argument("--shape", default="0.5b", help=f"of {', '.join(SHAPES)}")
    arguments.add_argument("--type", type=FileType, default=FileType.Q4_0)
    arguments.add_argument("--rates", help="requests per second, separated by commas")
    arguments.add_argument("--requests", type=int, help="at each rate")
    arguments.add_argument("--words", type=int, default=64, help="of a prompt")
    arguments.add_argument("--tokens", type=int, default=64, help="of an answer")
    options = arguments.parse_args()
    rates = [float(rate) for rate in (options.rates or ("1" if options.quick else "0.25,0.5,1,2")).split(",")]
    count = options.requests or (16 if options.quick else 64)
    loads: dict[float, Sequence[Arrival]] = {
        rate: arrivals(count, rate, options.words, seed) for seed, rate in enumerate(rates)
    }
    folder, threads = cache_folder(options.cache), options.threads
    path = text_model(folder, options.shape, options.type)
    python, port = known_python(options.llama_python, folder), free_port()
    commands = {"freehold": our_server(path, port, context=CONTEXT, sequences=16)}
    if python is not None and has_server(python):
        commands["llama-cpp-python"] = llama_server(python, path, port, context=CONTEXT, threads=threads)
    found = {name: under_load(command, port, threads, loads, options.tokens) for name, command in commands.items()}
    rows = [[name, rate, *(one[key] for key in COLUMNS)] for name, by in found.items() for rate, one in by.items()]
    print(table([["server", "requests/s", *COLUMNS], *rows]))
    if len(commands) == 1:
        print("llama-cpp-python's server is not there: name a Python that has llama-cpp-python[server]")
    model = {"model": f"{options.shape} {options.type}", "requests": count, "words": options.words}
    print_result({**found, **model, "tokens": options.tokens, "threads": threads})


if __name__ == "__main__":
    run(main)
