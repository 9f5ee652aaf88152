"""A home folder of one's own, and a model that needs no loading."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.fake import FakeModel


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FREEHOLD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("freehold.store.models.bundled_path", lambda name: tmp_path / "package" / name)
    return tmp_path / "home"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    fake = FakeModel()
    monkeypatch.setattr("freehold.cli.run.loaded", fake.loaded)
    return fake
