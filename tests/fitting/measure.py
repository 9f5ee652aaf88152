"""Loads the model in a folder, fills its cache to the last position and prints by how many bytes the process grew.

Run by test_memory in a process of its own, which has not used memory for anything else.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import numpy as np

import freehold
from freehold.engine.types import GenerationRequest, SamplingOptions, StopOptions


def anonymous_bytes() -> int:
    """Memory of this process that is not a mapped file."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("RssAnon")).split()[1]) * 1024


def fill(model: freehold.Model, context: int) -> None:
    """Compute a prompt that leaves room for one token."""
    prompt = tuple(np.random.default_rng(0).integers(0, model.config.vocabulary, context - 1).tolist())
    stop, greedy = StopOptions(max_tokens=1, ignore_eos=True), SamplingOptions(temperature=0)
    for _ in model.engine.stream(GenerationRequest(prompt=prompt, stop=stop, sampling=greedy)):
        pass


def main(folder: Path) -> None:
    with freehold.load("pebble", context_length=64) as small:
        fill(small, 64)  # what is imported and allocated once is not the model's
    del small
    gc.collect()
    before = anonymous_bytes()
    context = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    with freehold.load(folder, cache_tokens=context, max_sequences=1) as model:
        fill(model, context)
        print(json.dumps({"grown": anonymous_bytes() - before}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
