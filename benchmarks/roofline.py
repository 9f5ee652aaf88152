"""How close the kernels come to what this machine can do.

    .venv/bin/python benchmarks/roofline.py [--quick] [--shape 1.2b] [--seconds 0.5]

The limits are measured by a probe of its own, support/probe.cpp, compiled on the spot: reading memory, multiply-adds
of bytes and of float32 from registers, all threads together, for every instruction set of the processor. A kernel is
held against the one that binds it: one row and attention against reading, many rows against multiply-adds in the
instruction set that the kernels use; what the processor's best instruction set would allow is the last column.

Whole models: decoding reads the file's matrices (not what we hold them as) and the cache; a prompt multiplies all its
rows by all matrices but the head's. Multiply-adds of attention are not counted. The fastest run counts on both sides.
Bandwidth is measured again at the end: where the two differ, something else used the memory, and shares say nothing.

The last line is JSON: limits, `decode` and `prefill` of the whole model, and every kernel, as shares of their limits.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository, for this runs as a script

from benchmarks.kernels import ATTENTION, CONTEXT, Weight, measure_attention, measure_linear
from benchmarks.support.command import parser, run
from benchmarks.support.figures import print_result, table
from benchmarks.support.files import FileType, cache_folder, described, model_file
from benchmarks.support.probing import Limits, measure_limits
from benchmarks.support.shapes import SHAPES
from benchmarks.support.sides import Side, our_side
from freehold import _kernels

ROWS, COLUMNS = 8192, 2048
WEIGHTS: tuple[Weight, ...] = ("q4", "q4 minimum", "q8", "q8 16", "f16", "f32")
FLOATS: tuple[Weight, ...] = ("f16", "f32")
MANY_ROWS = 256
PROMPT, DECODED_AT, STEPS = 256, 64, 16
# The multiply-adds that a kernel's instruction set has at best, by our names for the sets, best first.
INSTRUCTIONS = {"avx2": ("avx2",), "avx512": ("avx512_vnni", "avx512"), "neon": ("dotprod",)}


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel and its limit, in bytes or multiply-adds per second.

    Attributes:
        limit: of the instruction set that the kernels use.
        best_limit: of the best one that the processor has.
    """

    name: str
    unit: str
    rate: float
    limit: float
    best_limit: float

    @property
    def share(self) -> float:
        return self.rate / self.limit

    @property
    def share_of_best(self) -> float:
        return self.rate / self.best_limit


def own_limit(rates: dict[str, float], isa: str) -> float:
    """Of the instruction set that the kernels use; of the best where that one is not probed, such as the portable."""
    known = [rates[name] for name in INSTRUCTIONS.get(isa, ()) if name in rates]
    return known[0] if known else max(rates.values())


def kernels(limits: Limits, seconds: float) -> list[Kernel]:
    """Products with one row and with many, and attention."""
    found = []
    isa = _kernels.isa()
    for weight in WEIGHTS:
        one = measure_linear(weight, ROWS, COLUMNS, 1, seconds)["gb_per_s"] * 1e9
        found.append(Kernel(f"{weight} x 1", "GB/s", one, limits.bytes_read, limits.bytes_read))
        rates = dict(limits.float_products if weight in FLOATS else limits.byte_products)
        many = measure_linear(weight, ROWS, COLUMNS, MANY_ROWS, seconds)["gmac_per_s"] * 1e9
        found.append(Kernel(f"{weight} x {MANY_ROWS}", "GMAC/s", many, own_limit(rates, isa), max(rates.values())))
    for name, heads, layer in ATTENTION:
        read = measure_attention(layer, heads, CONTEXT, seconds)["gb_per_s"] * 1e9
        found.append(Kernel(name, "GB/s", read, limits.bytes_read, limits.bytes_read))
    return found


def whole_model(side: Side, shape: str, kind: FileType, limits: Limits, rounds: int) -> list[Kernel]:
    """Decoding and prefill of a model that the side has loaded."""
    config, infos = described(SHAPES[shape], kind)
    matrices = [info for info in infos if len(info.shape) > 1]
    head = "token_embd.weight" if config.tied_embeddings else "output.weight"
    inner = [info for info in matrices if info.name not in (head, "token_embd.weight")]
    cached = 2 * 2 * config.layers * config.kv_heads * config.head_dim * (DECODED_AT + STEPS / 2)
    read = sum(info.bytes for info in matrices if info in inner or info.name == head) + cached
    products = PROMPT * sum(info.elements for info in inner)
    side.ask(do="open", sequences=1, positions=PROMPT)
    prefill = min(side.ask(do="prefill", tokens=PROMPT)["seconds"] for _ in range(rounds))
    side.ask(do="fill", tokens=DECODED_AT)
    step = min(side.ask(do="decode", steps=STEPS)["seconds"] for _ in range(rounds)) / STEPS
    rates = dict(limits.float_products if kind is FileType.F16 else limits.byte_products)
    return [
        Kernel("decode", "GB/s", read / step, limits.bytes_read, limits.bytes_read),
        Kernel("prefill", "GMAC/s", products / prefill, own_limit(rates, _kernels.isa()), max(rates.values())),
    ]


def rows(found: list[Kernel]) -> list[list[object]]:
    """The table."""
    lines: list[list[object]] = [["kernel", "reached", "limit", "", "share", "of the processor's best"]]
    for one in found:
        shares = [f"{one.share:.0%}", f"{one.share_of_best:.0%}"]
        lines.append([one.name, one.rate / 1e9, one.limit / 1e9, one.unit, *shares])
    return lines


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--shape", default="1.2b", help=f"dense, of {', '.join(SHAPES)}")
    arguments.add_argument("--type", type=FileType, default=FileType.Q4_0)
    arguments.add_argument("--seconds", type=float, help="per kernel")
    options = arguments.parse_args()
    folder = cache_folder(options.cache)
    _kernels.set_threads(options.threads)
    limits = measure_limits(folder, options.threads)
    found = kernels(limits, options.seconds or (0.3 if options.quick else 1.0))
    path = model_file(folder, options.shape, options.type)
    with our_side(options.threads) as side:
        side.ask(do="load", path=str(path))
        whole = whole_model(side, options.shape, options.type, limits, 4 if options.quick else 10)
    after = measure_limits(folder, options.threads)
    print(f"{_kernels.isa()}, {options.threads} threads; {ROWS} x {COLUMNS} weights; {options.shape} {options.type}")
    print(table(rows([*found, *whole])))
    print_result(
        {
            "read_gb_per_s": limits.bytes_read / 1e9,
            "read_gb_per_s_afterwards": after.bytes_read / 1e9,
            "byte_gmac_per_s": {name: rate / 1e9 for name, rate in limits.byte_products.items()},
            "float_gmac_per_s": {name: rate / 1e9 for name, rate in limits.float_products.items()},
            "model": f"{options.shape} {options.type}",
            **{one.name: one.share for one in whole},
            "prefill_of_best": whole[1].share_of_best,
            "kernels": {one.name: one.share for one in found},
            "threads": options.threads,
        }
    )


if __name__ == "__main__":
    run(main)
