"""Freehold and llama.cpp side by side: the same files, the same threads, one round each in turn.

    .venv/bin/python benchmarks/vs_llamacpp.py [--quick] [--llama-python PATH]

Each side is a process of its own that has loaded the same GGUF file of a real shape with random weights. "prefill N" is
one prompt of N tokens up to the logits of its last token. "decode N x S" is what S sequences of N tokens each need for
further tokens: llama.cpp by `llama_decode` (flash attention, micro-batches and cache at their defaults), we by the
model's forward as the engine's runner calls it (prompts in the engine's chunks, cache in 16 bit); neither side samples.
"generate N" is one sequence through our engine, scheduling, sampling and streaming included, and `llama_decode` with
llama.cpp's greedy sampler. A ratio is the median over the rounds of their time by ours, so more than 1 is faster.

Precision: mean Kullback-Leibler divergence to float32 and share of equal most likely tokens, both sides with the same
quantised file of trained weights, on the second halves of texts that the float32 model wrote. Behind each pair is the
standard error of its difference.

The last line is JSON: `prefill`, `decode` and `batch16` are medians over the dense sizes for Q4_0 and Q4_K_M.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository, for this runs as a script

from benchmarks.support.cells import Cell, Effort, Measured, Result, measure, speed_rows, summary
from benchmarks.support.command import parser, run
from benchmarks.support.figures import print_result, table
from benchmarks.support.files import FileType, cache_folder, model_file
from benchmarks.support.peer import llama_python, version
from benchmarks.support.precision import Precision, measure_precision
from benchmarks.support.shapes import SHAPES
from benchmarks.support.sides import llama_side, our_side
from freehold.ops.memory import available_bytes

SHORT, LONG = 64, 2048
ESSENTIAL = [Cell("prefill", 32), Cell("prefill", 256), Cell("decode", SHORT)]
BATCHES = [Cell("decode", SHORT, 4), Cell("decode", SHORT, 16)]
LONG_ONES = [Cell("prefill", LONG), Cell("decode", LONG), Cell("generate", SHORT)]
LONG_BATCHES = [Cell("decode", LONG, 4), Cell("decode", LONG, 16)]
FOUR_BITS = (FileType.Q4_0, FileType.Q4_K_M)
# Both sides hold the weights, one of them perhaps beside the file, and caches.
MEMORY_PER_FILE_BYTE = 2.5


def plan(shape: str, kind: FileType, *, quick: bool) -> list[Cell]:
    """What is measured of a file, sorted so that contexts are opened and filled once."""
    if not quick:
        return [*ESSENTIAL, *LONG_ONES, BATCHES[0], LONG_BATCHES[0], BATCHES[1], LONG_BATCHES[1]]
    is_small = shape in ("0.5b", "tiny") and kind is FileType.Q4_0
    return [*ESSENTIAL, *(LONG_ONES if is_small else []), *BATCHES]


def compare(path: Path, cells: Sequence[Cell], python: Path, threads: int, effort: Effort) -> list[Measured]:
    """Measure a file's cells on both sides."""
    found = []
    with our_side(threads) as ours, llama_side(python, threads) as theirs:
        for side in (ours, theirs):
            side.ask(do="load", path=str(path))
        for measured in measure(cells, (ours, theirs), effort):
            found.append(measured)
            print(f"  {measured.cell.name}: {measured.ratio:.2f} in {len(measured.ours)} rounds", flush=True)
    return found


def precision_rows(found: Sequence[Precision]) -> list[list[object]]:
    """The table of distances from float32."""
    rows: list[list[object]] = [
        ["model", "type", "KL ours", "KL llama.cpp", "+-", "top-1 ours", "top-1 llama.cpp", "+-"]
    ]
    for one in found:
        agreements = [f"{share:.2%}" for share in (one.ours.agreement, one.theirs.agreement, one.agreement_error)]
        rows.append([one.model, str(one.kind), one.ours.divergence, one.theirs.divergence, one.error, *agreements])
    return rows


def main() -> None:
    arguments = parser(__doc__, peer=True)
    arguments.add_argument("--shapes", help=f"of {', '.join(SHAPES)}, separated by commas")
    arguments.add_argument("--types", default=",".join(FileType), help="separated by commas")
    arguments.add_argument("--rounds", type=int, help="at most, per cell")
    arguments.add_argument("--seconds", type=float, help="per cell, at least two rounds in any case")
    arguments.add_argument("--skip-precision", action="store_true")
    options = arguments.parse_args()
    shapes = (options.shapes or ("0.5b,1.2b" if options.quick else "0.5b,1.2b,3b,moe")).split(",")
    kinds = [FileType(name) for name in options.types.split(",")]
    effort = Effort(2, options.rounds or (5 if options.quick else 9), options.seconds or (5 if options.quick else 30))
    folder = cache_folder(options.cache)
    python = llama_python(options.llama_python, folder)
    results, left_out = [], []
    for shape in shapes:
        for kind in kinds:
            path = model_file(folder, shape, kind)
            if available_bytes() < MEMORY_PER_FILE_BYTE * path.stat().st_size:
                left_out.append(path.stem)
                continue
            print(f"{shape} {kind}", flush=True)
            measured = compare(path, plan(shape, kind, quick=options.quick), python, options.threads, effort)
            results += [Result(shape, kind, one) for one in measured]
    precision = []
    if not options.skip_precision:
        precision = list(measure_precision(python, options.threads, kinds, 64 if options.quick else 256))
    print("\n" + table(speed_rows(results, "llama.cpp")))
    if left_out:
        print(f"left out, for they need more memory than is free: {', '.join(left_out)}")
    if precision:
        print("\n" + table(precision_rows(precision)))
    lowest = min(results, key=lambda one: one.measured.ratio, default=None)
    print_result(
        {
            **summary(results, FOUR_BITS),
            "types": {kind: summary(results, [kind]) for kind in kinds},
            "lowest": None if lowest is None else {lowest.name: lowest.measured.ratio},
            "cells": {one.name: one.measured.ratio for one in results},
            "precision": [asdict(one) for one in precision],
            "left_out": left_out,
            "llama_cpp_python": version(python),
            "threads": options.threads,
            "quick": options.quick,
        }
    )


if __name__ == "__main__":
    run(main)
