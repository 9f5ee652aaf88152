from __future__ import annotations

from pathlib import Path

import pytest

from freehold.packed import folder, opening, writing
from freehold.store.home import HOME_VARIABLE, Home


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of packed weights of a new home, where small models are kept too."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(folder.LIMIT_VARIABLE, "1")
    monkeypatch.setattr(opening, "SMALLEST_BYTES", 0)
    monkeypatch.setattr(writing, "SMALLEST_MAPPED", 0)
    return Home.from_environment().packed
