from __future__ import annotations

from freehold.ops import create_ops


def test_both_backends_know_what_memory_is_left() -> None:
    for backend in ("native", "torch"):
        assert 1 << 20 < create_ops(backend, exact=True).available_bytes() < 1 << 50
