"""What all tests share: no test keeps packed weights in the home folder of whoever runs it."""

from __future__ import annotations

import pytest

from freehold.packed.folder import LIMIT_VARIABLE


@pytest.fixture(autouse=True)
def _nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "0")
