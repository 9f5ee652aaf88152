"""Processes that measure: what they answer, and what is said when they end."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import freehold
from benchmarks.support.command import run
from benchmarks.support.files import FileType, model_file
from benchmarks.support.peer import PeerMissing, llama_python
from benchmarks.support.sides import Side, SideFailed, our_side

TEXTS = [[1, 2, 3], [4, 5]]


def test_our_side_measures_every_kind_of_cell(tmp_path: Path) -> None:
    path, logits = model_file(tmp_path, "tiny", FileType.Q4_0), tmp_path / "logits.npy"
    with our_side(1) as side:
        side.ask(do="load", path=str(path), context=64)
        side.ask(do="open", sequences=4, positions=40)
        side.ask(do="fill", tokens=20)
        assert side.ask(do="decode", steps=2)["seconds"] > 0
        assert side.ask(do="prefill", tokens=30)["seconds"] > 0
        generated = side.ask(do="generate", prompt=8, steps=2)
        assert generated["first"] > 0
        assert generated["seconds"] > 0
        assert side.ask(do="memory")["resident"] > 1 << 20
        side.ask(do="logits", sequences=TEXTS, to=str(logits))
    with freehold.load(path) as model:
        assert np.array_equal(np.load(logits, allow_pickle=False), np.concatenate(model.logits(TEXTS)))


def test_a_process_that_ends_is_quoted() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    with Side("it", command) as side, pytest.raises(SideFailed, match=r"(?s)it ended when asked for .*no such thing"):
        side.ask(do="load")


def test_a_python_without_the_peer_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PeerMissing, match="cannot import llama_cpp"):
        llama_python(tmp_path / "python", tmp_path)


def test_errors_for_people_end_a_benchmark_without_a_traceback(tmp_path: Path) -> None:
    def benchmark() -> None:
        llama_python(tmp_path / "python", tmp_path)

    with pytest.raises(SystemExit, match=r"^error: .* cannot import llama_cpp"):
        run(benchmark)
