"""The overview, wrong usage, exit codes, and what a start of the command line costs."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from freehold import __version__
from freehold.cli import main
from freehold.cli.verbs import VERBS
from freehold.errors import FreeholdError

SOURCE = Path(__file__).resolve().parents[2] / "src"


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(SOURCE)} | variables
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_overview_names_every_verb(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    for name, verb in VERBS.items():
        assert (f"\n  {name} " in shown) == (verb.summary is not None)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"freehold {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: freehold {verb}")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["rnu"], "there is no verb 'rnu'", "did you mean run?"),
        (["zzz"], "there is no verb 'zzz'", "freehold --help lists the verbs"),
        (["pull"], "missing argument 'MODEL'", "freehold pull --help explains the usage"),
        (["ls", "--what"], "no such option: --what", "freehold ls --help explains the usage"),
        (["run", "x", "--seed", "y"], "invalid value for '--seed'", "freehold run --help explains the usage"),
    ],
)
def test_wrong_usage_exits_with_2(
    arguments: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert printed.err.endswith(f"\n\nhint: {hint}\n")


@pytest.mark.parametrize(
    ("raised", "code", "printed"),
    [
        (FreeholdError("it broke", hint="mend it"), 1, "error: it broke\n\nhint: mend it\n"),
        (FreeholdError("it broke"), 1, "error: it broke\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1, "error: No space left on device: /x\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_exit_codes(
    raised: BaseException, code: int, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise raised

    monkeypatch.setattr("freehold.cli.ls.list_models", fail)
    assert main(["ls"]) == code
    assert capsys.readouterr().err == printed


def test_fault_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freehold.cli.ls.list_models", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["ls"])


def test_python_module_is_the_command_line() -> None:
    finished = python("-m", "freehold", "--version")
    assert (finished.returncode, finished.stdout) == (0, f"freehold {__version__}\n")
    assert python("-m", "freehold", "nonsense").returncode == 2


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["ls"]])
def test_light_commands_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    script = (
        "import sys; from freehold.cli import main; main(sys.argv[1:]); "
        "print(sorted({'numpy', 'torch', 'rich', 'huggingface_hub', 'tokenizers', 'jinja2', 'fastapi', 'sqlalchemy'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    assert python("-c", script, *arguments, FREEHOLD_HOME=str(tmp_path)).stderr == "[]\n"
