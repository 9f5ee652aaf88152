"""`freehold export`: what it writes can be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold.cli import main
from tests.support.tiny_folder import write_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny")


@pytest.fixture
def work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a file of the user's in it."""
    work = folder.parent / "work"
    work.mkdir()
    (work / "taken").write_text("mine")
    monkeypatch.chdir(work)
    return work


def answer(model: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["run", str(model), "hello", "-t", "0", "--max-tokens", "16"]) == 0
    return capsys.readouterr().out


def test_there_and_back_answers_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gguf, back = folder.parent / "tiny.gguf", folder.parent / "back"
    assert main(["export", str(folder), "--format", "gguf", "--output", str(gguf)]) == 0
    assert capsys.readouterr() == (f"{gguf}\n", "")
    assert main(["export", str(gguf), "--format", "safetensors", "--output", str(back)]) == 0
    assert capsys.readouterr() == (f"{back}\n", "")
    expected = answer(folder, capsys)
    assert answer(gguf, capsys) == expected
    assert answer(back, capsys) == expected


def test_narrower_type_makes_a_smaller_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = []
    for dtype in ("f32", "f16", "q8", "q4"):
        output = folder.parent / f"{dtype}.gguf"
        assert main(["export", str(folder), "--format", "gguf", "--dtype", dtype, "--output", str(output)]) == 0
        sizes.append(output.stat().st_size)
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--format", "onnx", "--output", "new"], 2, "'--format'"),
        (["--format", "gguf"], 2, "missing option '--output'"),
        (["--format", "safetensors", "--dtype", "q4", "--output", "new"], 1, "hold floats, not q4"),
        (["--format", "gguf", "--output", "taken"], 1, "taken exists already"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(
    work: Path, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "../tiny", *arguments]) == code
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert [(path.name, path.read_text()) for path in work.iterdir()] == [("taken", "mine")]
