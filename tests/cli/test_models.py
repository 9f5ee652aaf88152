"""`freehold models`, and short names in the other verbs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.catalogue import families
from freehold.cli import main
from freehold.cli.serve import _served_names
from tests.support.hub import FakeHub, FakeRepository, running_hub
from tests.support.terminal import on_terminal
from tests.support.tiny_folder import write_tiny_model

OBLIGATIONS = (
    "Apache-2.0: commercial use; keep the licence and the notices in copies that you pass on, and state your changes"
)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    for variable in ("HF_HUB_OFFLINE", "HF_TOKEN", "http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    folder = write_tiny_model(tmp_path / "tiny")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with running_hub({"Qwen/Qwen2.5-0.5B-Instruct": FakeRepository(files)}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_all_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "PARAMETERS", "ACTIVE", "CONTEXT", "LICENCE", "LANGUAGES", "RELEASED"]
    assert [row.split()[0] for row in rows] == [entry.name for family in families() for entry in family.entries]


def test_words_select(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "mixtral"]) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    assert " ".join(first.split()) == "mixtral:8x7b 46.70 B 12.88 B 32768 Apache-2.0 en, fr, it +2 2023-12-11"
    assert second.startswith("mixtral:8x22b")
    assert main(["models", "german", "llama"]) == 0
    assert "qwen" not in capsys.readouterr().out


def test_exact_name_spells_out_the_obligations(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "Llama3.1:8b"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("llama3.1:8b\n")
    for part in (
        "meta-llama/Llama-3.1-8B-Instruct",
        "8.03 B",
        "131072 tokens",
        "Portuguese",
        "LicenseRef-Llama-3.1: Llama 3.1 Community License Agreement",
        "above 700,000,000 a month, ask the licensor",
        "Built with Llama",
        "/use-policy/",
        "llama3.1:8b-q4_k_m",
    ):
        assert part in shown
    assert max(len(line) for line in shown.splitlines()) <= 120


def test_json_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json", "gpt-oss:20b"]) == 0
    (model,) = json.loads(capsys.readouterr().out)
    assert (model["name"], model["hub"], model["parameters"]) == ("gpt-oss:20b", "openai/gpt-oss-20b", 20_914_757_184)
    assert (model["active"], model["context"], model["released"]) == (3_608_307_264, 131_072, "2025-08-05")
    assert model["licence"] == "Apache-2.0"
    assert model["licences"][0]["commercial"] == "yes"
    assert model["releases"][0]["name"] == "gpt-oss:20b-mxfp4"
    assert model["configuration"]["num_local_experts"] == 32
    assert main(["models", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == sum(len(family.entries) for family in families())


def test_nothing_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "no", "such"]) == 1
    assert capsys.readouterr().err.startswith("error: the catalogue has no model for 'no such'\n\nhint: ")


def test_narrow_terminal_goes_without_the_less_important_columns() -> None:
    environment = os.environ | {"COLUMNS": "60", "NO_COLOR": "1", "TERM": "dumb"}
    with on_terminal([sys.executable, "-m", "freehold", "models", "qwen2.5"], environment) as terminal:
        assert terminal.exit_code() == 0
    table, _, note = terminal.shown.partition("note: ")
    assert max(len(line) for line in table.splitlines()) <= 60
    assert "NAME" in table
    assert "qwen2.5-coder:32b" in table
    assert note.startswith("a wider terminal also shows LANGUAGES, RELEASED")


def test_pull_says_what_it_resolved_to_and_run_finds_it(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "Qwen2.5:0.5b"]) == 0
    printed = capsys.readouterr()
    assert printed.err == f"note: qwen2.5:0.5b is Qwen/Qwen2.5-0.5B-Instruct; {OBLIGATIONS}\n"
    assert printed.out.endswith("\nfreehold run qwen2.5:0.5b\n")
    for verb in (["run", "qwen2.5:0.5b", "hello", "--max-tokens", "2"], ["show", "qwen2.5:0.5b"]):
        assert main(verb) == 0
    capsys.readouterr()
    assert main(["pull", "Qwen/Qwen2.5-0.5B-Instruct", "--json"]) == 0
    printed = capsys.readouterr()
    assert (printed.err, json.loads(printed.out)["short_name"]) == (f"note: {OBLIGATIONS}\n", None)
    assert main(["pull", "qwen2.5:0.5b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["short_name"] == "qwen2.5:0.5b"
    assert main(["rm", "qwen2.5:0.5b"]) == 0
    assert capsys.readouterr().out == "removed Qwen/Qwen2.5-0.5B-Instruct\n"


def test_requests_call_a_served_model_by_its_short_name() -> None:
    assert _served_names(["qwen2.5:7b", "llama3.3"]) == {"qwen2.5:7b": "qwen2.5:7b", "llama3.3": "llama3.3"}


def test_unknown_short_name_gets_a_hint(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "qwen2.5:8b"]) == 1
    assert "hint: did you mean qwen2.5:" in capsys.readouterr().err
    assert hub.seen == []
