"""`freehold pull`, `ls` and `rm`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.cli import main
from tests.support.hub import FakeHub, FakeRepository, running_hub

FILES = {"tiny.Q4_K_M.gguf": b"GGUF four", "tiny.Q8_0.gguf": b"GGUF eight"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    for variable in ("HF_HUB_OFFLINE", "HF_TOKEN", "http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with running_hub({"org/tiny": FakeRepository(dict(FILES), frozenset(FILES))}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_pull_list_and_remove(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "org/tiny:Q8_0"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "org/tiny:Q8_0: 10 B gguf, licence apache-2.0\n\nfreehold run org/tiny:Q8_0\n"
    assert printed.err == ""
    assert main(["ls"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "FORMAT", "SIZE", "LICENCE", "PULLED"]
    assert row.split()[:5] == ["org/tiny:Q8_0", "gguf", "10", "B", "apache-2.0"]
    assert main(["rm", "org/tiny"]) == 0
    assert capsys.readouterr().out == "removed org/tiny:Q8_0\n"
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_pull_as_json(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "hf:org/tiny:q4_k_m", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["size"], shown["format"]) == ("org/tiny:Q4_K_M", 9, "gguf")
    assert Path(shown["path"]).read_bytes() == FILES["tiny.Q4_K_M.gguf"]
    assert shown["revision"] == hub.repositories["org/tiny"].revision


def test_damaged_model_is_listed_with_a_way_to_repair_it(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "org/tiny:Q8_0", "--json"]) == 0
    Path(json.loads(capsys.readouterr().out)["path"]).unlink()
    assert main(["ls"]) == 0
    printed = capsys.readouterr()
    assert "org/tiny:Q8_0" in printed.out
    assert printed.err == (
        "error: org/tiny:Q8_0 is damaged: tiny.Q8_0.gguf is missing\n\nhint: freehold pull org/tiny:Q8_0 repairs it\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "org/absent"], "has no model org/absent"),
        (["pull", "org/tiny"], "org/tiny has 2 GGUF files: Q4_K_M, Q8_0"),
        (["pull", "org/tiny:Q5_0"], "org/tiny has no Q5_0"),
        (["pull", "org/tiny:Q8_0", "--revision", "v9"], "no revision 'v9'"),
        (["pull", "../../etc/passwd"], "'../../etc/passwd' is not a model name"),
        (["rm", "org/tiny"], "there is no model or path 'org/tiny'"),
        (["rm", "pebble"], "pebble is part of Freehold"),
        (["rm", ".."], "'..' is not a model name"),
    ],
)
def test_what_cannot_be_done_exits_with_1(
    hub: FakeHub, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err


def test_interrupted_pull_says_that_it_can_go_on(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("freehold.cli.pull.pull", interrupt)
    assert main(["pull", "org/tiny:Q8_0"]) == 130
    assert capsys.readouterr().err == "note: what has arrived is kept; the same command continues\n"
