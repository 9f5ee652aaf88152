"""Every test that takes `isa` runs once for each instruction set that is compiled on this architecture."""

from __future__ import annotations

import platform
from collections.abc import Iterator

import pytest

from freehold import _kernels

OPTIONAL = {
    "x86_64": ["avx2", "avx_vnni", "avx512"],
    "AMD64": ["avx2", "avx_vnni", "avx512"],
    "aarch64": ["neon"],
    "arm64": ["neon"],
}
COMPILED = ["portable", *OPTIONAL.get(platform.machine(), [])]


@pytest.fixture(params=COMPILED)
def isa(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name not in _kernels.available_isas():
        pytest.skip(f"this processor does not run {name}")
    _kernels.use_isa(name)
    return name


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    isa, threads = _kernels.isa(), _kernels.threads()
    yield
    _kernels.use_isa(isa)
    if _kernels.threads() != threads:
        _kernels.set_threads(threads)
