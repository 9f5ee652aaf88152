"""`freehold ls` and `freehold rm` know of packed weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import freehold
from freehold.cli.main import main
from freehold.packed.folder import kept
from tests.support.tiny_folder import write_tiny_model


@pytest.fixture
def model(packed: Path, tmp_path: Path) -> Path:
    path = write_tiny_model(tmp_path / "tiny")
    freehold.load(path).close()
    return path


def test_packed_weights_are_counted_and_deleted(model: Path, packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == 0
    assert "packed weights" in capsys.readouterr().err
    assert main(["rm", "--packed"]) == 0
    assert "removed packed weights" in capsys.readouterr().out
    assert not kept(packed)
    assert main(["ls"]) == 0
    assert "packed weights" not in capsys.readouterr().err


def test_removing_a_model_removes_its_packed_weights(
    model: Path, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(name: str) -> list[str]:
        (model / "model.safetensors").unlink()
        return [name]

    monkeypatch.setattr("freehold.cli.rm.remove", remove)
    assert main(["rm", "org/tiny"]) == 0
    assert not kept(packed)


def test_nothing_to_remove_is_wrong_usage(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rm"]) == 2
    assert "no model is named" in capsys.readouterr().err


def test_the_verbs_do_not_import_numpy() -> None:
    code = "import sys, freehold.cli.rm, freehold.cli.ls; print('numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
