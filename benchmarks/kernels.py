"""Speed of the kernels: read bandwidth for one token, multiply-adds for many, mixtures of experts, and attention over a
long context.

    python benchmarks/kernels.py [--shape 4096x2048] [--seconds 0.5]

Prints a table and ends in one line of JSON. Weights are random, and so many copies are multiplied in turn that no
product finds them in the cache. The fastest turn counts: on a machine that does other things too, the others say
more about those.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from itertools import product
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from freehold import _kernels
from freehold.ops.base import AttentionCache, AttentionRules, CacheType, LatentCache, Routing
from freehold.ops.batch import Batch
from freehold.ops.native import NativeCache, NativeLatentCache, NativeLayerCache, NativeOps

Weight = Literal["q4", "q4 minimum", "q4_k", "q5_k", "q6_k", "mxfp4", "q8", "fp8", "f16", "f32"]

# More than the last-level cache that a share of a server's cores is likely to have.
COLD_BYTES = 256 << 20

BLOCK = 16
CONTEXT = 2048
CACHE_TYPES: tuple[CacheType, ...] = ("f16", "q8")
BFLOAT_THOUSANDTH = 0x3A83
ATTENTION: list[tuple[str, int, AttentionCache | LatentCache]] = [
    ("attention 32/8 heads", 32, AttentionCache(8, 64)),
    ("attention 32/32 heads", 32, AttentionCache(32, 128)),
    ("latent, 128 heads", 128, LatentCache(512, 64)),
]

# A layer of a mixture as Qwen3-30B-A3B has it, with half its experts.
EXPERTS, TOP_K = 64, 8
EXPERT_FEATURES, EXPERT_WIDTH = 2048, 768

rng = np.random.default_rng(0)


def random_matrix(kind: Weight, rows: int, columns: int) -> _kernels.Matrix:
    """A weight: plain as in Q4_0 and Q8_0, with minimums as AWQ has them, or in a format of its own."""
    if kind in ("f32", "f16"):
        codes = _kernels.empty(_kernels.packed_bytes(kind, rows, columns))
        codes.view(np.float32 if kind == "f32" else np.float16)[:] = 0.5
        return _kernels.Matrix(kind, rows, columns, codes)
    if kind in ("q4_k", "q5_k", "q6_k"):
        codes = _kernels.empty(_kernels.packed_bytes(kind, rows, columns))
        codes[:] = np.resize(rng.integers(0, 60, 1 << 16, np.uint8), len(codes))  # no float16 of these is infinite
        return _kernels.Matrix(kind, rows, columns, codes)
    if kind in ("mxfp4", "fp8"):
        codes = _kernels.empty(_kernels.packed_bytes(kind, rows, columns))
        codes[:] = np.resize(rng.integers(0, 126, 1 << 16, np.uint8), len(codes))
        groups = -(-rows // 8) * 8 * -(-columns // (32 if kind == "mxfp4" else 128))
        own_scales = np.full(groups, 120, np.uint8) if kind == "mxfp4" else np.full(groups, 0.01, np.float32)
        return _kernels.Matrix(kind, rows, columns, codes, own_scales)
    format_: Literal["q4", "q8"] = "q4" if kind.startswith("q4") else "q8"
    codes = _kernels.empty(_kernels.packed_bytes(format_, rows, columns))
    codes[:] = np.resize(rng.integers(0, 256, 1 << 16, np.uint8), len(codes))
    scales: npt.NDArray[np.float16 | np.float32] = np.full(-(-rows // 8) * 8 * columns // 32, 0.01, np.float16)
    if kind == "q4 minimum":
        scales = scales.astype(np.float32)
        return _kernels.Matrix(format_, rows, columns, codes, scales, scales.copy())
    return _kernels.Matrix(format_, rows, columns, codes, scales, offset=8 if kind == "q4" else 0)


def fastest(runs: Sequence[Callable[[], object]], seconds: float) -> float:
    """The shortest mean time of a run in one turn of all, of the turns that fit into so many seconds.

    A single run may be lucky in what the cache still holds; over a turn that evens out.
    """
    if not runs:
        raise ValueError("nothing to run")
    shortest = float("inf")
    end = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        for run in runs:
            run()
        now = time.perf_counter()
        shortest = min(shortest, (now - start) / len(runs))
        if now > end:
            return shortest


def measure_linear(kind: Weight, rows: int, columns: int, tokens: int, seconds: float) -> dict[str, float]:
    """GB/s of packed weights and GMAC/s of one product."""
    first = random_matrix(kind, rows, columns)
    copies = COLD_BYTES // first.bytes
    weights = [_kernels.LinearWeight([first])]
    weights += [_kernels.LinearWeight([random_matrix(kind, rows, columns)]) for _ in range(copies)]
    x = rng.standard_normal((tokens, columns), dtype=np.float32)
    ops = NativeOps()
    spent = fastest([partial(ops.linear, x, weight) for weight in weights], seconds)
    return {"gb_per_s": first.bytes / spent / 1e9, "gmac_per_s": rows * columns * tokens / spent / 1e9}


def last_row(context: int) -> Batch:
    """One step of decoding, over blocks in any order."""
    blocks = -(-context // BLOCK)
    return Batch(
        token_ids=np.zeros(1, np.int32),
        positions=np.array([context - 1], np.int32),
        offsets=np.array([0, 1], np.int32),
        block_tables=rng.permutation(blocks).astype(np.int32),
        block_offsets=np.array([0, blocks], np.int32),
        logit_rows=np.zeros(1, np.int32),
    )


def fill(cache: NativeCache) -> None:
    """With ordinary numbers; so that every page is there, too."""
    for array in (getattr(cache, one.name) for one in fields(cache)):
        if array is not None:
            array.fill({np.int8: 100, np.uint16: BFLOAT_THOUSANDTH}.get(array.dtype.type, 0.1))


def run_of(
    ops: NativeOps, layer: AttentionCache | LatentCache, cache: NativeCache, heads: int, batch: Batch
) -> Callable[[], object]:
    """Attention of the batch's one row over a cache of ordinary numbers."""
    fill(cache)
    rules = AttentionRules(0.1)
    if isinstance(layer, LatentCache):
        assert isinstance(cache, NativeLatentCache)
        q = rng.standard_normal((1, heads, layer.latent + layer.rotated), dtype=np.float32)
        return partial(ops.latent_attention, q, q[:, 0], batch, cache, shape=layer, rules=rules)
    assert isinstance(cache, NativeLayerCache)
    q = rng.standard_normal((1, heads, layer.head_dim), dtype=np.float32)
    k = q[:, : layer.kv_heads]
    return partial(ops.attention, q, k, k, batch, cache, rules=rules)


def measure_attention(
    layer: AttentionCache | LatentCache, heads: int, cache_type: CacheType, seconds: float
) -> dict[str, float]:
    """GB/s of keys and values that the last row of a sequence reads, and GMAC/s, in one layer after another."""
    ops, context = NativeOps(cache_type), CONTEXT
    layers = COLD_BYTES // (context * ops.cache_bytes([layer])) + 1
    caches = ops.create_cache([layer] * layers, -(-context // BLOCK), BLOCK)
    batch = last_row(context)
    spent = fastest([run_of(ops, layer, cache, heads, batch) for cache in caches], seconds)
    widths = 2 * layer.latent + layer.rotated if isinstance(layer, LatentCache) else 2 * layer.head_dim
    macs = widths * heads * context
    return {"gb_per_s": context * ops.cache_bytes([layer]) / spent / 1e9, "gmac_per_s": macs / spent / 1e9}


def measure_experts(tokens: int, seconds: float) -> dict[str, float]:
    """GB/s of the chosen experts' packed weights and GMAC/s of one mixture, its routing included.

    One token finds other experts each time, and of those of many tokens the router leaves out none.
    """
    ops = NativeOps()
    gate_up, down = (
        _kernels.ExpertsWeight([_kernels.LinearWeight([random_matrix("q4", *shape)]) for _ in range(EXPERTS)])
        for shape in ((2 * EXPERT_WIDTH, EXPERT_FEATURES), (EXPERT_FEATURES, EXPERT_WIDTH))
    )
    x = rng.standard_normal((tokens, EXPERT_FEATURES), dtype=np.float32)
    logits = rng.standard_normal((EXPERTS, tokens, EXPERTS), dtype=np.float32)
    for turn in range(EXPERTS):
        for token in range(tokens):
            chosen = (np.arange(TOP_K) + (turn * tokens + token) * TOP_K) % EXPERTS
            logits[turn, token, chosen] += 10
    mix = partial(ops.experts, x, selection_bias=None, routing=Routing(TOP_K), activation="silu")
    spent = fastest([partial(mix, own, gate_up, down) for own in logits], seconds)
    read = min(tokens * TOP_K, EXPERTS)
    expert_bytes = sum(matrix.bytes for weight in (gate_up, down) for matrix in weight.parts[0])
    macs = 3 * EXPERT_WIDTH * EXPERT_FEATURES * tokens * TOP_K
    return {"gb_per_s": read * expert_bytes / spent / 1e9, "gmac_per_s": macs / spent / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the kernels")
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
            result = measure_linear(kind, rows, columns, tokens, options.seconds)
            results[f"{kind} x {tokens}"] = {name: round(value, 2) for name, value in result.items()}
            print(f"{kind:12}{tokens:7}{result['gb_per_s']:9.1f}{result['gmac_per_s']:9.1f}")
    for tokens in (int(count) for count in options.tokens.split(",")):
        name = f"q4 experts {TOP_K}/{EXPERTS} x {tokens}"
        result = measure_experts(tokens, options.seconds)
        results[name] = {key: round(value, 2) for key, value in result.items()}
        print(f"{name:19}{result['gb_per_s']:9.1f}{result['gmac_per_s']:9.1f}")
    for (shape, heads, layer), cache_type in product(ATTENTION, CACHE_TYPES):
        name = f"{shape}, {cache_type}"
        result = measure_attention(layer, heads, cache_type, options.seconds)
        results[name] = {key: round(value, 2) for key, value in result.items()}
        print(f"{name:27}{result['gb_per_s']:5.1f}{result['gmac_per_s']:9.1f}")
    print(json.dumps({"isa": _kernels.isa(), "threads": _kernels.threads(), "shape": [rows, columns], **results}))


if __name__ == "__main__":
    main()
