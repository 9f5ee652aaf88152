"""Freehold beside transformers in float32 on PyTorch, on the same processor and as many threads.

    .venv/bin/python benchmarks/vs_transformers.py [--quick] [--shapes 0.5b,1.2b]

What people compare who have run a model as its card says. The shapes are the same, the weights random on both sides,
and ours quantised: it is what one gets, not the same arithmetic. Prefill and decoding are measured as in
vs_llamacpp.py, in turn, round by round; transformers keeps its default attention and a dynamic cache.

The last line is JSON: `prefill` and `decode` are median ratios for Q4_0, and `types` has them for every type.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository, for this runs as a script

from benchmarks.support.cells import Cell, Effort, Measured, Result, measure, speed_rows, summary
from benchmarks.support.command import parser, run
from benchmarks.support.figures import print_result, table
from benchmarks.support.files import FileType, cache_folder, model_file
from benchmarks.support.shapes import SHAPES
from benchmarks.support.sides import our_side, torch_side

QUICK = [Cell("prefill", 256), Cell("decode", 64)]
FULL = [*QUICK, Cell("prefill", 2048), Cell("decode", 2048), Cell("decode", 64, 16)]


def compare(path: Path, shape: str, cells: Sequence[Cell], threads: int, effort: Effort) -> list[Measured]:
    """Measure a shape's cells on both sides."""
    with our_side(threads) as ours, torch_side(threads) as theirs:
        ours.ask(do="load", path=str(path))
        theirs.ask(do="load", shape=shape)
        return list(measure(cells, (ours, theirs), effort))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--shapes", help=f"of {', '.join(SHAPES)}, separated by commas")
    arguments.add_argument("--types", default="Q4_0,Q8_0", help="separated by commas")
    arguments.add_argument("--seconds", type=float, help="per cell, at least two rounds in any case")
    options = arguments.parse_args()
    shapes = (options.shapes or ("0.5b" if options.quick else "0.5b,1.2b")).split(",")
    kinds = [FileType(name) for name in options.types.split(",")]
    effort = Effort(2, 7, options.seconds or (5 if options.quick else 30))
    folder = cache_folder(options.cache)
    results = []
    for shape in shapes:
        for kind in kinds:
            path = model_file(folder, shape, kind)
            measured = compare(path, shape, QUICK if options.quick else FULL, options.threads, effort)
            results += [Result(shape, kind, one) for one in measured]
    print(table(speed_rows(results, "transformers")))
    print_result(
        {
            **summary(results, [FileType.Q4_0]),
            "types": {kind: summary(results, [kind]) for kind in kinds},
            "cells": {one.name: one.measured.ratio for one in results},
            "threads": options.threads,
            "quick": options.quick,
        }
    )


if __name__ == "__main__":
    run(main)
