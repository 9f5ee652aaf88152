"""What the comparisons share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.parity.peer import Peer


@pytest.fixture
def peer() -> Iterator[Peer]:
    python = os.environ.get("FREEHOLD_LLAMA_PYTHON")
    if not python:
        pytest.skip("FREEHOLD_LLAMA_PYTHON names no Python that has llama-cpp-python")
    started = Peer(python)
    yield started
    started.close()
