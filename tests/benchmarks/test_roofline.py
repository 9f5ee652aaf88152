"""Limits of the machine, and which of them a kernel is held against."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.roofline import Kernel, own_limit
from benchmarks.support import probing


def test_the_probe_compiles_and_measures_every_instruction_set_of_this_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "READ_BYTES", 8 << 20)
    monkeypatch.setattr(probing, "REPEATS", 1)
    limits = probing.measure_limits(tmp_path, 1)
    assert limits.bytes_read > 1e8
    assert set(limits.byte_products) == set(limits.float_products)
    assert all(rate > 1e8 for rate in [*limits.byte_products.values(), *limits.float_products.values()])
    assert len(list(tmp_path.glob("*.so"))) == len(limits.byte_products)


def test_without_a_compiler_the_probe_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    with pytest.raises(probing.ProbeFailed, match="CXX names another compiler"):
        probing.measure_limits(tmp_path, 1)


def test_a_kernel_is_held_against_its_own_instruction_set_and_against_the_best() -> None:
    rates = {"avx2": 100.0, "avx512": 200.0, "avx512_vnni": 400.0}
    assert own_limit(rates, "avx2") == 100.0
    assert own_limit(rates, "avx512") == 400.0
    assert own_limit({"avx2": 100.0, "avx512": 200.0}, "avx512") == 200.0
    assert own_limit(rates, "portable") == 400.0
    kernel = Kernel("q4 x 256", "GMAC/s", 80.0, own_limit(rates, "avx2"), max(rates.values()))
    assert (kernel.share, kernel.share_of_best) == (0.8, 0.2)
