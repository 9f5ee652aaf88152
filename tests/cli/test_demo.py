"""`freehold demo`, which `make run` ends with."""

from __future__ import annotations

import json

import pytest

from freehold.cli import main
from freehold.cli.demo import MESSAGE, NEXT_STEPS
from tests.cli.fake import FakeModel

ANSWER = '{"language": "en"}'


@pytest.fixture
def pebble(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    fake = FakeModel(answer=lambda prompt: [ANSWER], name="pebble")
    monkeypatch.setattr("freehold.cli.demo.loaded", fake.loaded)
    return fake


def test_message_answer_and_what_to_type_next(pebble: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"message  {MESSAGE}"
    assert [json.loads(line) for line in lines if line.startswith("{")] == [json.loads(ANSWER)]
    for _, arguments in NEXT_STEPS:
        assert any(line.endswith(f"freehold {arguments}") for line in lines)
    assert pebble.requests[0].sampling.temperature == 0


def test_command_that_is_not_on_the_path_is_shown_as_it_was_started(
    pebble: FakeModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sys.argv", [".venv/bin/freehold", "demo"])
    assert main(["demo"]) == 0
    assert "\n  one after the other      .venv/bin/freehold run pebble\n" in capsys.readouterr().out


def test_answer_that_is_not_json_is_an_error(pebble: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    pebble.answer = lambda prompt: ["Sorry?"]
    assert main(["demo"]) == 1
    assert "error: pebble's answer is not JSON" in capsys.readouterr().err
