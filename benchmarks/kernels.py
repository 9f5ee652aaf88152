"""Speed of the linear kernels: read bandwidth for one token, multiply-adds for many.

    python benchmarks/kernels.py [--shape 4096x2048] [--seconds 0.5]

Prints a table and ends in one line of JSON. Weights are random, and so many copies are multiplied in turn that one
token never finds them in the cache. The fastest run counts: on a machine that does other things too, the others say
more about those.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from freehold import _kernels
from freehold.ops.native import NativeOps

Weight = Literal["q4", "q4 minimum", "q8", "q8 16", "f16", "f32"]

# More than the last-level cache that a share of a server's cores is likely to have.
COLD_BYTES = 256 << 20

rng = np.random.default_rng(0)


def random_matrix(kind: Weight, rows: int, columns: int) -> _kernels.Matrix:
    """A weight: plain as in Q4_0 and Q8_0, with minimums as in Q4_K, or in groups of 16 as in Q6_K."""
    if kind in ("f32", "f16"):
        codes = _kernels.empty(_kernels.packed_bytes(kind, rows, columns))
        codes.view(np.float32 if kind == "f32" else np.float16)[:] = 0.5
        return _kernels.Matrix(kind, rows, columns, codes)
    format_: Literal["q4", "q8"] = "q4" if kind.startswith("q4") else "q8"
    codes = _kernels.empty(_kernels.packed_bytes(format_, rows, columns))
    codes[:] = np.resize(rng.integers(0, 256, 1 << 16, np.uint8), len(codes))
    group = 16 if kind == "q8 16" else 32
    scales: npt.NDArray[np.float16 | np.float32] = np.full(-(-rows // 8) * 8 * columns // group, 0.01, np.float16)
    if kind == "q4 minimum":
        scales = scales.astype(np.float32)
        return _kernels.Matrix(format_, rows, columns, codes, scales, scales)
    return _kernels.Matrix(format_, rows, columns, codes, scales, group=group, offset=8 if kind == "q4" else 0)


def fastest(weights: Sequence[_kernels.LinearWeight], x: npt.NDArray[np.float32], seconds: float) -> float:
    """The shortest time that x times one of the weights took, of all that fit into so many seconds."""
    ops = NativeOps()
    shortest = float("inf")
    end = time.perf_counter() + seconds
    for weight in cycle(weights):
        start = time.perf_counter()
        ops.linear(x, weight)
        now = time.perf_counter()
        shortest = min(shortest, now - start)
        if now > end:
            return shortest
    raise ValueError("no weights")


def measure(kind: Weight, rows: int, columns: int, tokens: int, seconds: float) -> dict[str, float]:
    """GB/s of packed weights and GMAC/s of one product."""
    first = random_matrix(kind, rows, columns)
    copies = COLD_BYTES // first.bytes if tokens == 1 else 0
    weights = [_kernels.LinearWeight([first])]
    weights += [_kernels.LinearWeight([random_matrix(kind, rows, columns)]) for _ in range(copies)]
    x = rng.standard_normal((tokens, columns), dtype=np.float32)
    spent = fastest(weights, x, seconds)
    return {"gb_per_s": first.bytes / spent / 1e9, "gmac_per_s": rows * columns * tokens / spent / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the linear kernels")
    parser.add_argument("--shape", default="4096x2048", help="outputs x inputs")
    parser.add_argument("--tokens", default="1,64", help="numbers of tokens, separated by commas")
    parser.add_argument("--seconds", type=float, default=0.5, help="per measurement")
    options = parser.parse_args()
    rows, columns = (int(size) for size in options.shape.split("x"))
    results: dict[str, dict[str, float]] = {}
    print(f"{_kernels.isa()}, {_kernels.threads()} threads, weight {rows} x {columns}")
    print(f"{'weight':12}{'tokens':>7}{'GB/s':>9}{'GMAC/s':>9}")
    for kind in get_args(Weight):
        for tokens in (int(count) for count in options.tokens.split(",")):
            result = measure(kind, rows, columns, tokens, options.seconds)
            results[f"{kind} x {tokens}"] = {name: round(value, 2) for name, value in result.items()}
            print(f"{kind:12}{tokens:7}{result['gb_per_s']:9.1f}{result['gmac_per_s']:9.1f}")
    print(json.dumps({"isa": _kernels.isa(), "threads": _kernels.threads(), "shape": [rows, columns], **results}))


if __name__ == "__main__":
    main()
