"""Limits of the machine, and which of them a kernel is held against."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.roofline import Kernel, own_set
from benchmarks.support import probing


def test_the_probe_compiles_and_measures_every_instruction_set_of_this_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "READ_BYTES", 8 << 20)
    monkeypatch.setattr(probing, "REPEATS", 1)
    probe = probing.Probe(tmp_path, 1)
    assert probe.bytes_read() > 1e8
    assert all(rate > 1e8 for name in probe.sets for rate in (probe.byte_products(name), probe.float_products(name)))
    assert len(list(tmp_path.glob("*.so"))) == len(probe.sets) > 0


def test_without_a_compiler_the_probe_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    with pytest.raises(probing.ProbeFailed, match="CXX names another compiler"):
        probing.Probe(tmp_path, 1)


def test_a_kernel_is_held_against_its_own_instruction_set_and_against_the_best() -> None:
    rates = {"avx2": 100.0, "avx512": 200.0, "avx512_vnni": 400.0}
    assert own_set(rates, "avx2") == "avx2"
    assert own_set(rates, "avx512") == "avx512_vnni"
    assert own_set({"avx2": 100.0, "avx512": 200.0}, "avx512") == "avx512"
    assert own_set({"avx2": 100.0, "avx_vnni": 150.0, "avx512": 200.0}, "avx_vnni") == "avx_vnni"
    assert own_set(rates, "portable") == "avx512_vnni"


def test_a_share_is_the_median_over_rounds_of_what_was_reached_by_what_was_probed_beside_it() -> None:
    kernel = Kernel("q4 x 256", "GMAC/s", rates=[80.0, 45.0, 90.0], limits=[100.0, 50.0, 200.0], best=4.0)
    assert (kernel.share, kernel.share_of_best) == (0.8, 0.2)
