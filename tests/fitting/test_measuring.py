"""The measured bandwidth, and how it is remembered."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from freehold.fitting.measuring import FILE, bandwidth, measure, this_machine
from freehold.store import Home


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Speeds that measurements will find, in turn."""
    speeds = [1e9, 2e9, 3e9]
    monkeypatch.setattr("freehold.fitting.measuring.measure", lambda: speeds.pop(0))
    return speeds


def test_machine_reads_at_a_speed_that_machines_read_at() -> None:
    assert 1e8 < measure() < 1e13


def test_measured_once_for_a_machine(tmp_path: Path, measured: list[float]) -> None:
    home = Home(tmp_path / "home")
    found = bandwidth(home)
    assert found.bytes_per_second == 1e9
    assert date.fromisoformat(found.measured) <= date.today()
    assert found.machine == this_machine()
    assert found.machine.threads >= 1
    assert bandwidth(home) == found
    assert len(measured) == 2
    assert bandwidth(home, again=True).bytes_per_second == 2e9


def test_other_machine_is_measured_anew(tmp_path: Path, measured: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    bandwidth(home)
    other = replace(this_machine(), threads=this_machine().threads + 1)
    monkeypatch.setattr("freehold.fitting.measuring.this_machine", lambda: other)
    assert bandwidth(home).bytes_per_second == 2e9


@pytest.mark.parametrize("content", ["", "{", "[]", '{"bytes_per_second": 1e9}', '{"machine": {"speed": 1}}'])
def test_damaged_measurement_is_made_again(tmp_path: Path, measured: list[float], content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert bandwidth(Home(tmp_path)).bytes_per_second == 1e9
    assert json.loads((tmp_path / FILE).read_text())["bytes_per_second"] == 1e9


def test_impossible_measurement_is_made_again(tmp_path: Path, measured: list[float]) -> None:
    bandwidth(Home(tmp_path))
    content = json.loads((tmp_path / FILE).read_text()) | {"bytes_per_second": 0}
    (tmp_path / FILE).write_text(json.dumps(content))
    assert bandwidth(Home(tmp_path)).bytes_per_second == 2e9
