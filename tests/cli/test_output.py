"""How numbers, tables, colours and progress look."""

from __future__ import annotations

import io

import pytest

from freehold.cli import progress
from freehold.cli.output import human_bytes, human_count, print_problem, print_table, styled
from freehold.cli.progress import progress_bar


class Screen(io.StringIO):
    """Text that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "1.0 MB"), (8_030_000, "8.0 MB"), (10**18, "1000.0 PB")],
)
def test_bytes(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("count", "text"), [(7, "7"), (26_944, "26.94 K"), (936_448, "936.45 K"), (1_235_814_400, "1.24 B")]
)
def test_parameters(count: int, text: str) -> None:
    assert human_count(count) == text


def test_table_aligns_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["NAME", "SIZE"], [["a", "1 B"], ["longer", ""]])
    assert capsys.readouterr().out == "NAME    SIZE\na       1 B\nlonger\n"


def test_styles_need_a_terminal_and_no_objection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert styled("x", "1", io.StringIO()) == "x"
    assert styled("x", "1", Screen()) == "\x1b[1mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert styled("x", "1", Screen()) == "x"


def test_errors_read_the_same_without_colour(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    print_problem("it broke", "mend it")
    assert capsys.readouterr().err == "error: it broke\n\nhint: mend it\n"


def test_no_bar_without_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", -1.0)
    with progress_bar(unit_bytes=True) as report:
        report("pulling", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_short_work_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(progress, "_PATIENCE", 3600.0)
    with progress_bar(unit_bytes=True) as report:
        report("pulling", 1, 2)
    assert screen.getvalue() == ""


@pytest.mark.parametrize("unit_bytes", [True, False])
def test_long_work_shows_stage_and_amount(monkeypatch: pytest.MonkeyPatch, unit_bytes: bool) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(progress, "_PATIENCE", -1.0)
    with progress_bar(unit_bytes=unit_bytes) as report:
        report("pulling org/x", 5_000_000, 10_000_000)
        report("checking hashes", 10_000_000, 10_000_000)
    assert "pulling org/x" in screen.getvalue()
    assert "checking hashes" in screen.getvalue()
    assert ("5.0/10.0 MB" in screen.getvalue()) == unit_bytes


def test_bar_ends_with_the_block_even_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Screen())
    monkeypatch.setattr(progress, "_PATIENCE", -1.0)

    def fail() -> None:
        with progress_bar(unit_bytes=True) as report:
            report("pulling", 1, 2)
            raise KeyboardInterrupt

    for _ in range(2):  # a bar that was left running would refuse a second one
        with pytest.raises(KeyboardInterrupt):
            fail()
