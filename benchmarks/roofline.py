"""How close the kernels come to what this machine can do.

    .venv/bin/python benchmarks/roofline.py [--quick] [--shape 1.2b] [--seconds 0.5]

The limits are measured by a probe of its own, support/probe.cpp, compiled on the spot: reading memory, multiply-adds
of bytes and of float32 from registers, all threads together, for every instruction set of the processor. A kernel is
held against the one that binds it: one row and attention against reading, many rows against multiply-adds in the
instruction set that the kernels use; what the processor's best instruction set would allow is the last column.

Probe and kernel take turns, and a share is the median over the rounds of what the kernel reached by what the probe
measured just before: the bandwidth of a shared machine may change within a minute. Within a round the fastest of some
turns counts on both sides; the probe, a prompt and a few steps of decoding have nine each.

Whole models: decoding reads the file's matrices (not what we hold them as) and the cache; a prompt multiplies all its
rows by all matrices but the head's. Multiply-adds of attention are not counted.

The last line is JSON: limits, `decode` and `prefill` of the whole model, and every kernel, as shares of their limits.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository, for this runs as a script

from benchmarks.kernels import ATTENTION, CACHE_TYPES, Weight, measure_attention, measure_linear
from benchmarks.support.command import parser, run
from benchmarks.support.figures import print_result, table
from benchmarks.support.files import FileType, cache_folder, described, model_file
from benchmarks.support.probing import REPEATS, Probe
from benchmarks.support.shapes import SHAPES
from benchmarks.support.sides import Side, our_side
from freehold import _kernels
from freehold.ops.base import AttentionCache, CacheType, LatentCache

ROWS, COLUMNS = 8192, 2048
WEIGHTS: tuple[Weight, ...] = ("q4", "q4 minimum", "q4_k", "q5_k", "q6_k", "q8", "f16", "f32")
FLOATS: tuple[Weight, ...] = ("f16", "f32")
MANY_ROWS = 256
PROMPT, DECODED_AT, STEPS = 256, 64, 4
# The multiply-adds that a kernel's instruction set has at best, by our names for the sets, best first.
INSTRUCTIONS = {
    "avx2": ("avx2",),
    "avx_vnni": ("avx_vnni",),
    "avx512": ("avx512_vnni", "avx512"),
    "neon": ("dotprod",),
}


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel beside its limit, in bytes or multiply-adds per second.

    Attributes:
        rates, limits: of each round; the limits are those of the instruction set that the kernels use.
        best: how many times as much the processor's best instruction set does.
    """

    name: str
    unit: str
    rates: Sequence[float]
    limits: Sequence[float]
    best: float = 1.0

    @property
    def share(self) -> float:
        return median(rate / limit for rate, limit in zip(self.rates, self.limits, strict=True))

    @property
    def share_of_best(self) -> float:
        return self.share / self.best


@dataclass(frozen=True, slots=True)
class Machine:
    """The probe, and which of its figures bind the kernels.

    Attributes:
        byte_products, float_products: multiply-adds per second by instruction set, once measured.
        rounds: of probe and kernel in turn.
    """

    probe: Probe
    byte_products: Mapping[str, float]
    float_products: Mapping[str, float]
    rounds: int

    @classmethod
    def measured(cls, probe: Probe, rounds: int) -> Machine:
        sets = probe.sets
        byte_products = {name: probe.byte_products(name) for name in sets}
        return cls(probe, byte_products, {name: probe.float_products(name) for name in sets}, rounds)

    def reading(self, name: str, rate: Callable[[], float]) -> Kernel:
        """What reads memory, beside reading."""
        return self._beside(name, "GB/s", rate, self.probe.bytes_read)

    def multiplying(self, name: str, rate: Callable[[], float], *, floats: bool) -> Kernel:
        """What multiplies and adds, beside multiply-adds in the instruction set of the kernels."""
        known = self.float_products if floats else self.byte_products
        own = own_set(known, _kernels.isa())
        limit = partial(self.probe.float_products if floats else self.probe.byte_products, own)
        return self._beside(name, "GMAC/s", rate, limit, max(known.values()) / known[own])

    def _beside(
        self, name: str, unit: str, rate: Callable[[], float], limit: Callable[[], float], best: float = 1.0
    ) -> Kernel:
        limits, rates = [], []
        for _ in range(self.rounds):
            limits.append(limit())
            rates.append(rate())
        return Kernel(name, unit, rates, limits, best)


def own_set(rates: Mapping[str, float], isa: str) -> str:
    """The probed set that the kernels use; the best where theirs is not probed, such as the portable."""
    known = [name for name in INSTRUCTIONS.get(isa, ()) if name in rates]
    return known[0] if known else max(rates, key=rates.__getitem__)


def kernels(machine: Machine, seconds: float) -> list[Kernel]:
    """Products with one row and with many, and attention."""

    def product(weight: Weight, tokens: int, figure: str) -> float:
        return measure_linear(weight, ROWS, COLUMNS, tokens, seconds)[figure] * 1e9

    def attention(layer: AttentionCache | LatentCache, heads: int, cache_type: CacheType) -> float:
        return measure_attention(layer, heads, cache_type, seconds)["gb_per_s"] * 1e9

    found = []
    for weight in WEIGHTS:
        found.append(machine.reading(f"{weight} x 1", partial(product, weight, 1, "gb_per_s")))
        many = partial(product, weight, MANY_ROWS, "gmac_per_s")
        found.append(machine.multiplying(f"{weight} x {MANY_ROWS}", many, floats=weight in FLOATS))
    for (name, heads, layer), cache_type in itertools.product(ATTENTION, CACHE_TYPES):
        found.append(machine.reading(f"{name}, {cache_type}", partial(attention, layer, heads, cache_type)))
    return found


def whole_model(side: Side, shape: str, kind: FileType, machine: Machine) -> list[Kernel]:
    """Decoding and prefill of a model that the side has loaded."""
    config, infos = described(SHAPES[shape], kind)
    matrices = [info for info in infos if len(info.shape) > 1]
    head = "token_embd.weight" if config.tied_embeddings else "output.weight"
    inner = [info for info in matrices if info.name not in (head, "token_embd.weight")]
    cached = 2 * 2 * config.layers * config.kv_heads * config.head_dim * (DECODED_AT + STEPS / 2)
    read = sum(info.bytes for info in matrices if info in inner or info.name == head) + cached
    products = PROMPT * sum(info.elements for info in inner)
    side.ask(do="open", sequences=1, positions=PROMPT)

    def shortest(**question: object) -> float:
        return min(float(side.ask(**question)["seconds"]) for _ in range(REPEATS))

    prefill = machine.multiplying(
        "prefill", lambda: products / shortest(do="prefill", tokens=PROMPT), floats=kind is FileType.F16
    )
    side.ask(do="fill", tokens=DECODED_AT)
    decode = machine.reading("decode", lambda: read * STEPS / shortest(do="decode", steps=STEPS))
    return [decode, prefill]


def rows(found: list[Kernel]) -> list[list[object]]:
    """The table."""
    lines: list[list[object]] = [["kernel", "reached", "limit", "", "share", "of the processor's best"]]
    for one in found:
        shares = [f"{one.share:.0%}", f"{one.share_of_best:.0%}"]
        lines.append([one.name, median(one.rates) / 1e9, median(one.limits) / 1e9, one.unit, *shares])
    return lines


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--shape", default="1.2b", help=f"dense, of {', '.join(SHAPES)}")
    arguments.add_argument("--type", type=FileType, default=FileType.Q4_0)
    arguments.add_argument("--seconds", type=float, help="per kernel")
    options = arguments.parse_args()
    folder = cache_folder(options.cache)
    _kernels.set_threads(options.threads)
    machine = Machine.measured(Probe(folder, options.threads), 3 if options.quick else 9)
    found = kernels(machine, options.seconds or (0.2 if options.quick else 0.5))
    path = model_file(folder, options.shape, options.type)
    with our_side(options.threads) as side:
        side.ask(do="load", path=str(path))
        whole = whole_model(side, options.shape, options.type, machine)
    print(f"{_kernels.isa()}, {options.threads} threads; {ROWS} x {COLUMNS} weights; {options.shape} {options.type}")
    print(table(rows([*found, *whole])))
    print_result(
        {
            "read_gb_per_s": [round(limit / 1e9, 1) for one in (found[0], whole[0]) for limit in one.limits],
            "byte_gmac_per_s": {name: rate / 1e9 for name, rate in machine.byte_products.items()},
            "float_gmac_per_s": {name: rate / 1e9 for name, rate in machine.float_products.items()},
            "model": f"{options.shape} {options.type}",
            **{one.name: one.share for one in whole},
            "prefill_of_best": whole[1].share_of_best,
            "kernels": {one.name: one.share for one in found},
            "threads": options.threads,
        }
    )


if __name__ == "__main__":
    run(main)
