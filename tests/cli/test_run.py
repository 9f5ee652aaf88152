"""`freehold run` with a prompt, from the arguments or from standard input."""

from __future__ import annotations

import io

import pytest

from freehold.cli import main
from freehold.engine.types import FinishReason
from tests.cli.fake import CONTEXT, FakeModel


def test_prompt_is_answered_on_standard_output(model: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "fake", "How", "are you?"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("Hello.\n", "")
    assert model.prompts == ["user=How are you?"]


def test_options_reach_the_request(model: FakeModel) -> None:
    arguments = ["--temperature", "0", "--max-tokens", "7", "--seed", "5", "--system", "Be brief."]
    assert main(["run", "fake", "Hi", *arguments]) == 0
    (request,) = model.requests
    assert (request.sampling.temperature, request.sampling.seed, request.stop.max_tokens) == (0.0, 5, 7)
    assert model.prompts == ["system=Be brief.|user=Hi"]


def test_what_is_left_open_follows_the_recommendation(model: FakeModel) -> None:
    assert main(["run", "fake", "Hi"]) == 0
    assert model.requests[0].sampling.temperature == 0.7


def test_loading_options_reach_the_loader(model: FakeModel) -> None:
    options = ["--backend", "torch", "--dtype", "q8", "--cache-type", "q8", "--context", "99", "--draft-model", "y"]
    assert main(["run", "org/x", "Hi", *options, "--speculation", "off"]) == 0
    assert model.loads == [
        {
            "name": "org/x",
            "backend": "torch",
            "dtype": "q8",
            "cache_type": "q8",
            "context": 99,
            "draft_model": "y",
            "speculation": "off",
        },
    ]


def test_piped_input_is_the_prompt(
    model: FakeModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("first line\nsecond line\n"))
    assert main(["run", "fake"]) == 0
    assert model.prompts == ["user=first line\nsecond line"]
    assert capsys.readouterr().out == "Hello.\n"


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_empty_input_is_refused_before_the_model_loads(
    model: FakeModel, content: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert main(["run", "fake"]) == 2
    assert "there is no prompt" in capsys.readouterr().err
    assert model.loads == []


def test_input_that_is_not_text_is_refused(
    model: FakeModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00"), encoding="utf-8"))
    assert main(["run", "fake"]) == 2
    assert "not utf-8 text" in capsys.readouterr().err


def test_model_without_template_continues_the_text_and_says_so_once(
    model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    model.template = None
    assert main(["run", "fake", "Once upon"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "Hello.\n"
    assert printed.err == "note: fake has no chat template: it continues your text\n"
    assert model.prompts == ["Once upon"]


def test_system_message_without_template_is_refused(model: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    model.template = None
    assert main(["run", "fake", "Hi", "--system", "Be brief."]) == 1
    assert "cannot take a system message" in capsys.readouterr().err
    assert model.requests == []


def test_answer_that_was_cut_says_so(model: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    model.finish_reason = FinishReason.LENGTH
    assert main(["run", "fake", "Hi"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "Hello.\n"
    assert printed.err == "note: the answer was cut after 2 tokens, at the limit\n"


def test_timings_go_to_standard_error(model: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "fake", "Hi", "--verbose"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "Hello.\n"
    assert "first token 0 ms, prompt 7 tokens" in printed.err
    assert "answer 2 tokens" in printed.err


def test_interrupted_answer_exits_with_130(model: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    model.answer = lambda prompt: ["Hel", KeyboardInterrupt, "lo."]
    assert main(["run", "fake", "Hi"]) == 130
    assert capsys.readouterr().out == "Hel\n"


def test_failure_inside_the_engine_is_an_error(model: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    model.finish_reason, model.error = FinishReason.FAILED, "the kernel stumbled"
    assert main(["run", "fake", "Hi"]) == 1
    assert capsys.readouterr().err.startswith("error: the kernel stumbled")


def test_prompt_past_the_context_is_an_error_with_a_hint(model: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "fake", "x" * CONTEXT]) == 1
    assert capsys.readouterr().err == f"error: the prompt has {CONTEXT + 5} tokens\n\nhint: shorten it\n"


@pytest.mark.parametrize(("option", "value"), [("--temperature", "-1"), ("--max-tokens", "0"), ("--seed", str(2**65))])
def test_option_out_of_range_is_refused_with_its_name(
    model: FakeModel, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "fake", "Hi", option, value]) == 1
    assert f"error: {option[2:].replace('-', '_')} is {float(value) if '.' in value else value}"[:20] in (
        capsys.readouterr().err
    )
    assert model.requests == []


def test_absent_model_gets_the_nearest_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "pebbel", "Hi"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: there is no model or path 'pebbel'\n\nhint: did you mean pebble?")
    assert "Traceback" not in printed
