"""The chat of `freehold run`: commands, settings, several lines, and interruptions."""

from __future__ import annotations

import builtins
from collections.abc import Callable

import pytest

from freehold.cli.chat import chat
from freehold.cli.conversation import Conversation
from freehold.cli.showing import Display
from freehold.engine.types import FinishReason
from freehold.text.dialects import DIALECTS
from tests.cli.fake import FakeModel

Talk = Callable[..., str]


@pytest.fixture
def talk(model: FakeModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Talk:
    """Types lines (or presses keys) and returns everything that was printed."""

    def play(*lines: str | type[BaseException], verbose: bool = False) -> str:
        script = iter([*lines, EOFError])

        def answer(_: str = "") -> str:
            item = next(script)
            if isinstance(item, str):
                return item
            raise item

        monkeypatch.setattr(builtins, "input", answer)
        chat(Conversation(model, {}, None), verbose)  # type: ignore[arg-type]
        printed = capsys.readouterr()
        return printed.out + printed.err

    return play


def test_every_turn_sees_the_ones_before(model: FakeModel, talk: Talk) -> None:
    printed = talk("One", "Two")
    assert model.prompts == ["user=One", "user=One|assistant=Hello.|user=Two"]
    assert printed.count("Hello.\n") == 2


def test_reasoning_is_shown_and_not_remembered(model: FakeModel, talk: Talk) -> None:
    model.dialect = DIALECTS["hermes"]
    model.answer = lambda prompt: ["<thi", "nk>\nHm", ".\n</think>", "\n\nYes."]
    printed = talk("One", "Two")
    assert printed.count("Hm.") == printed.count("Yes.") == 2
    assert "think>" not in printed
    assert model.prompts[-1] == "user=One|assistant=Yes.|user=Two"


def test_reasoning_goes_to_standard_error(model: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    model.dialect = DIALECTS["hermes"]
    model.answer = lambda prompt: ["<think>Hm.</think>Yes."]
    answer = Conversation(model, {}, None).reply("One", Display())  # type: ignore[arg-type]
    printed = capsys.readouterr()
    assert (answer.text, printed.out, printed.err) == ("Yes.", "Yes.", "Hm.\n\n")


def test_clear_forgets(model: FakeModel, talk: Talk) -> None:
    talk("One", "/clear", "Two")
    assert model.prompts[-1] == "user=Two"


def test_message_of_several_lines(model: FakeModel, talk: Talk) -> None:
    talk('"""first', "second", 'third"""', '"""one line"""')
    assert model.prompts[0] == "user=first\nsecond\nthird"
    assert model.prompts[1].endswith("user=one line")


@pytest.mark.parametrize("leave", ["/bye", "/exit", "/quit", " /bye "])
def test_leaving(model: FakeModel, talk: Talk, leave: str) -> None:
    talk("One", leave.strip(), "Two")
    assert len(model.requests) == 1


def test_empty_lines_are_not_messages(model: FakeModel, talk: Talk) -> None:
    talk("", "   ")
    assert model.requests == []


def test_interrupted_answer_is_kept_as_far_as_it_got(model: FakeModel, talk: Talk) -> None:
    model.answer = lambda prompt: ["Hel", KeyboardInterrupt] if prompt == "user=One" else ["Bye"]
    printed = talk("One", "Two")
    assert "Hel\n" in printed
    assert "stopped\n" in printed
    assert model.prompts[-1] == "user=One|assistant=Hel|user=Two"


def test_answer_interrupted_before_its_first_token_leaves_no_trace(model: FakeModel, talk: Talk) -> None:
    model.answer = lambda prompt: [KeyboardInterrupt] if prompt == "user=One" else ["Bye"]
    talk("One", "Two")
    assert model.prompts[-1] == "user=Two"


def test_interruption_at_the_prompt_says_how_to_leave(model: FakeModel, talk: Talk) -> None:
    assert "Ctrl-D or /bye leaves" in talk(KeyboardInterrupt, "One")
    assert len(model.requests) == 1


def test_error_leaves_the_conversation_as_it_was(model: FakeModel, talk: Talk) -> None:
    printed = talk("One", "x" * 300, "Two")
    assert "error: the prompt has" in printed
    assert model.prompts[-1] == "user=One|assistant=Hello.|user=Two"


def test_failed_answer_leaves_the_conversation_as_it_was(model: FakeModel, talk: Talk) -> None:
    model.finish_reason, model.error = FinishReason.FAILED, "the kernel stumbled"
    printed = talk("One", "Two")
    assert printed.count("error: the kernel stumbled") == 2
    assert model.prompts[-1] == "user=Two"


def test_settings_reach_the_next_request(model: FakeModel, talk: Talk) -> None:
    lines = ("temperature 0.2", "parameter top_k 5", "max_tokens 9", 'stop "a b" c', "system Be brief.", "seed 3")
    talk(*(f"/set {line}" for line in lines), "Hi", "/set temperature default", "/set system default", "Hi")
    first, second = model.requests
    assert (first.sampling.temperature, first.sampling.top_k, first.sampling.seed) == (0.2, 5, 3)
    assert (first.stop.max_tokens, first.stop.strings) == (9, ("a b", "c"))
    assert model.prompts[0] == "system=Be brief.|user=Hi"
    assert second.sampling.temperature == 0.7
    assert "system=" not in model.prompts[1]


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("temprature 1", "there is no setting temprature; did you mean temperature?"),
        ("xyz 1", "there is no setting xyz\n"),
        ("temperature", "/set temperature needs a value, or default"),
        ("temperature hot", "temperature must be a number, not 'hot'"),
        ("top_k 1.5", "top_k must be an integer, not '1.5'"),
        ("temperature -1", "temperature is -1.0; it must be a number from 0 to 100"),
        ("temperature nan", "temperature is nan"),
        ("stop 'open", "stop must be strings, quoted where they hold spaces"),
        ("verbose maybe", "verbose must be on or off, not 'maybe'"),
    ],
)
def test_setting_that_cannot_be_is_refused_and_changes_nothing(
    model: FakeModel, talk: Talk, line: str, reply: str
) -> None:
    assert reply in talk(f"/set {line}", "Hi")
    assert model.requests[0].sampling == model.recommended


def test_settings_are_listed(talk: Talk) -> None:
    printed = talk("/set top_p 0.5", "/set")
    assert "temperature         0.7 (default)\n" in printed
    assert "top_p               0.5\n" in printed


def test_show_describes_model_and_conversation(talk: Talk) -> None:
    printed = talk("Hi", "/show")
    assert "fake: FakeForCausalLM, context 200 tokens" in printed
    assert "2 messages so far" in printed


def test_verbose_prints_timings(talk: Talk) -> None:
    assert "first token" in talk("/set verbose on", "Hi")
    assert "first token" not in talk("/set verbose off", "Hi", verbose=True)


@pytest.mark.parametrize("line", ["/help", "/?"])
def test_help(talk: Talk, line: str) -> None:
    assert "/set [NAME VALUE]" in talk(line)


def test_unknown_command(model: FakeModel, talk: Talk) -> None:
    assert "there is no command /hlep; /help lists them" in talk("/hlep")
    assert model.requests == []


def test_system_setting_without_template_is_refused(model: FakeModel, talk: Talk) -> None:
    model.template = None
    assert "cannot take a system message" in talk("/set system x")
