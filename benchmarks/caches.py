"""Keys and values in codes of 8 bits beside 16 bits: speed of the same model, and what the codes cost in precision.

    .venv/bin/python benchmarks/caches.py [--quick] [--shapes 0.5b,1.2b] [--skip-precision]

Both sides are ours, with the same file; prefill and decoding are measured as in vs_llamacpp.py, in turn, round by
round. A ratio is the time with 16 bits by that with 8. Precision: mean Kullback-Leibler divergence from keys and values
in float32, with weights in float32, and share of equal most likely tokens, on texts that the model wrote.

The last line is JSON: `prefill`, `decode` and `batch16` are median ratios, `cells` all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository, for this runs as a script

import numpy as np

import freehold
from benchmarks.support.cells import Cell, Effort, Measured, Result, measure, speed_rows, summary
from benchmarks.support.command import parser, run
from benchmarks.support.figures import print_result, table
from benchmarks.support.files import FileType, cache_folder, model_file
from benchmarks.support.precision import Distance, distance
from benchmarks.support.shapes import SHAPES
from benchmarks.support.sides import our_side
from benchmarks.support.trained import sampled_texts, trained_folders, written

QUICK = [Cell("decode", 64), Cell("decode", 2048)]
FULL = [Cell("prefill", 2048), *QUICK, Cell("decode", 2048, 4), Cell("decode", 2048, 16)]
KIND = FileType.Q4_0
TEXTS = 32  # of at most 256 tokens, for precision
CODES, HALVES, EXACT = "q8", "f16", "f32"


def compare(path: Path, cells: Sequence[Cell], threads: int, effort: Effort) -> list[Measured]:
    """Measure cells with both caches."""
    with our_side(threads) as codes, our_side(threads) as halves:
        codes.ask(do="load", path=str(path), cache_type=CODES)
        halves.ask(do="load", path=str(path), cache_type=HALVES)
        return list(measure(cells, (codes, halves), effort))


def precision() -> Iterator[tuple[str, str, Distance]]:
    """Every trained model that is there, with both caches."""
    for name, source in trained_folders().items():
        with written(source) as (_, exact):
            texts = sampled_texts(exact, TEXTS)
            logits = {}
            for cache_type in (EXACT, HALVES, CODES):
                with freehold.load(exact, cache_type=cache_type) as model:
                    logits[cache_type] = np.concatenate(model.logits(texts))
            for cache_type in (HALVES, CODES):
                yield name, cache_type, distance(logits[EXACT], logits[cache_type])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--shapes", help=f"of {', '.join(SHAPES)}, separated by commas")
    arguments.add_argument("--seconds", type=float, help="per cell, at least two rounds in any case")
    arguments.add_argument("--skip-precision", action="store_true")
    options = arguments.parse_args()
    shapes = (options.shapes or ("0.5b" if options.quick else "0.5b,1.2b")).split(",")
    effort = Effort(2, 9, options.seconds or (5 if options.quick else 30))
    folder = cache_folder(options.cache)
    results = []
    for shape in shapes:
        measured = compare(model_file(folder, shape, KIND), QUICK if options.quick else FULL, options.threads, effort)
        results += [Result(shape, KIND, one) for one in measured]
    found = [] if options.skip_precision else list(precision())
    print(table(speed_rows(results, "16 bits")))
    if found:
        rows = [[name, kind, one.divergence, f"{one.agreement:.2%}"] for name, kind, one in found]
        print("\n" + table([["model", "cache", "KL", "top-1"], *rows]))
    print_result(
        {
            **summary(results, [KIND]),
            "cells": {one.name: one.measured.ratio for one in results},
            "precision": {f"{name} {kind}": [one.divergence, one.agreement] for name, kind, one in found},
            "threads": options.threads,
            "quick": options.quick,
        }
    )


if __name__ == "__main__":
    run(main)
