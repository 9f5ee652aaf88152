"""However an answer is divided, and whatever is in it, its events add up to the same."""

from __future__ import annotations

import json
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.text.dialects import DIALECTS, Content, Reasoning
from tests.text.dialects.reading import TOOLS, marked, read
from tests.text.dialects.test_answers import ANSWERS

MARKERS = sorted({
    *(name for dialect in DIALECTS.values() for name in dialect.controls), "<function=", "</function>", "<parameter=",
    "</parameter>", ">", "to=functions.f", "assistant", "analysis", "final", "commentary", "```json\n", "```",
})  # fmt: skip
PIECES = [
    *MARKERS, " ", "\n", "f", "get_weather", "(", ")", "[", "]", "{", "}", '"', "'", "\\", ",", ";", ":", "=", "1",
    '{"name": "f", "arguments": {', '"name"', '"parameters": ', "f(i=1)", "[f(", "text", "é", "é🙂",
]  # fmt: skip

answers = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.tuples(st.sampled_from([case[1] for case in ANSWERS]), st.lists(st.sampled_from(PIECES), max_size=6)).map(
        lambda parts: parts[0] + "".join(parts[1])
    ),
)

settings = st.fixed_dictionaries({
    "controls": st.booleans(), "thinking": st.booleans(), "tools": st.sampled_from([None, TOOLS]),
})  # fmt: skip


@st.composite
def divided(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize("dialect", DIALECTS)
@given(data=st.data(), text=answers, options=settings)
def test_any_division_gives_the_same(dialect: str, data: st.DataObject, text: str, options: dict[str, Any]) -> None:
    text = marked(dialect, text) if options["controls"] else text
    whole = read(dialect, text, **options)
    for pieces in (data.draw(divided(text)), list(text)):
        assert read(dialect, pieces, **options) == whole
    assert all(isinstance(json.loads(arguments), dict) for _, arguments in whole.calls)
    assert len(set(whole.ids)) == len(whole.ids)
    assert "\udc00" not in whole.content + whole.reasoning


@pytest.mark.parametrize(("dialect", "text", "reasoning", "content", "calls"), ANSWERS)
def test_answers_character_by_character(dialect: str, text: str, reasoning: str, content: str, calls: object) -> None:
    assert read(dialect, list(text), controls=False) == read(dialect, text, controls=False)


@given(text=st.text(alphabet=" \n<thinktool_callé[{]}", max_size=60))
def test_without_markers_every_character_is_content(text: str) -> None:
    for name, dialect in DIALECTS.items():
        if not any(control in text for control in dialect.controls) and "{" not in text and "[" not in text:
            assert read(name, list(text), controls=False).content == text


@pytest.mark.parametrize("dialect", ["hermes", "deepseek_v3", "harmony"])
def test_only_what_may_be_a_marker_is_held_back(dialect: str) -> None:
    parser = DIALECTS[dialect].parser(tools=TOOLS, begun="<|channel|>final<|message|>" if dialect == "harmony" else "")
    assert parser.push("Hello") == [Content("Hello")]
    assert parser.push(" wor") == [Content(" wor")]
    assert parser.push("ld <") == [Content("ld")]
    assert parser.push("b>") == [Content(" <b>")]
    assert parser.finish() == []


def test_reasoning_is_told_as_it_comes() -> None:
    parser = DIALECTS["hermes"].parser()
    assert parser.push("<thi") == []
    assert parser.push("nk>\nWell") == [Reasoning("Well")]
    assert parser.push(",\n") == [Reasoning(",")]
    assert parser.push("</think>\n\n") == []
    assert parser.push("So") == [Content("So")]


def test_json_that_is_no_call_is_told_as_soon_as_that_is_certain() -> None:
    parser = DIALECTS["llama"].parser(tools=TOOLS)
    assert parser.push('{ "na') == []
    assert parser.push("tion") == [Content('{ "nation')]


HOSTILE = [
    "<tool_call>", "</tool_call>", "<tool_call>{", '<tool_call>{"name":', '"', '\\"', "<", "[", "{", "[[f(", "f(a=",
    "<function=", "<function=f><parameter=a>", "<parameter=", "[TOOL_CALLS]", "[TOOL_CALLS][", "[ARGS]", "<think>",
    "</think>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "```", "<|channel|>", "<|message|>", "to=", "<|start|>", " ",
    '{"name": "f", "arguments": {}} ', "[f(a=[", "\udc00", "<tool_call>f</tool_call>", "[f(a='\\",
]  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("controls", [False, True])
def test_no_text_makes_a_parser_slow(dialect: str, controls: bool) -> None:
    started = process_time()
    for opening in ("", "<tool_call>", '<tool_call>{"', "[f(", "[TOOL_CALLS]", "<function=f>", "<|channel|>"):
        for unit in HOSTILE[::3] if opening else HOSTILE:
            text = opening + unit * (100_000 // len(unit))
            read(dialect, marked(dialect, text) if controls else text, controls=controls)
    assert process_time() - started < 10.0  # 97 texts of 100 kB
