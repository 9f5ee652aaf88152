"""What each dialect makes of the answers that its models write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from freehold.text.dialects import DIALECTS
from tests.text.dialects.reading import Answer, marked, read

WEATHER = ("get_weather", {"city": "Paris"})
JSON_CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
V3_CALL = '<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Paris"}\n```<｜tool▁call▁end｜>'
V31_CALL = '<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris"}<｜tool▁call▁end｜>'
XML_CALL = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>"

# dialect, text, reasoning, content, calls
ANSWERS: list[tuple[str, str, str, str, list[tuple[str, Any]]]] = [
    ("plain", "<think>x</think> <tool_call>{}</tool_call> ", "", "<think>x</think> <tool_call>{}</tool_call> ", []),
    # --- Hermes
    ("hermes", "Hello  there.\n", "", "Hello  there.\n", []),
    ("hermes", f"<tool_call>\n{JSON_CALL}\n</tool_call>", "", "", [WEATHER]),
    ("hermes", f"Let me see. \n<tool_call>\n{JSON_CALL}\n</tool_call>\n", "", "Let me see.", [WEATHER]),
    ("hermes", f"<tool_call>{JSON_CALL}</tool_call>\n<tool_call>{JSON_CALL}</tool_call>", "", "", [WEATHER] * 2),
    ("hermes", f"<tool_call>{JSON_CALL}", "", "", [WEATHER]),  # the end marker is an end-of-sequence token at times
    ("hermes", f"<think>\nHm. \n</think>\n\n<tool_call>{JSON_CALL}</tool_call>", "Hm.", "", [WEATHER]),
    ("hermes", "<think>\n\n</think>\n\nHi", "", "Hi", []),
    ("hermes", '<tool_call>{"name": "f", "arguments": "{\\"i\\": 1}"}</tool_call>', "", "", [("f", {"i": 1})]),
    ("hermes", '<tool_call>{"name": "f"}</tool_call>', "", "", [("f", {})]),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"s": "a\nb"}}</tool_call>', "", "", [("f", {"s": "a\nb"})]),
    # --- Qwen 3 Coder, Qwen 3.5
    ("qwen_xml", XML_CALL, "", "", [WEATHER]),
    ("qwen_xml", f"First.\n\n{XML_CALL}\n{XML_CALL}", "", "First.", [WEATHER] * 2),
    ("qwen_xml", XML_CALL.removeprefix("<tool_call>\n"), "", "", [WEATHER]),
    ("qwen_xml", f"<think>\nHm\n</think>\n\n{XML_CALL}", "Hm", "", [WEATHER]),
    ("qwen_xml", f"<tool_call>{JSON_CALL}</tool_call>", "", "", [WEATHER]),
    ("qwen_xml", "<tool_call><function=f></function></tool_call>", "", "", [("f", {})]),
    ("qwen_xml", "<tool_call>\n<function=f>\n<parameter=s>\n12\n</parameter>\n<parameter=i>\n12\n</parameter>\n"
     "<parameter=x>12</parameter><parameter=b>True</parameter><parameter=a>\n[1, 2]\n</parameter>\n"
     '<parameter=o>{"k": null}</parameter><parameter=n>null</parameter><parameter=u>None</parameter>\n'
     "<parameter=unknown>7</parameter></function></tool_call>", "", "",
     [("f", {"s": "12", "i": 12, "x": 12, "b": True, "a": [1, 2], "o": {"k": None}, "n": None, "u": None,
             "unknown": "7"})]),
    # --- Llama
    ("llama", '{"name": "get_weather", "parameters": {"city": "Paris"}}', "", "", [WEATHER]),
    ("llama", f"<|python_tag|>{JSON_CALL}", "", "", [WEATHER]),
    ("llama", f"<|python_start|>{JSON_CALL}<|python_end|>", "", "", [WEATHER]),
    ("llama", f"Sure: <|python_tag|>{JSON_CALL}; {JSON_CALL}", "", "Sure:", [WEATHER] * 2),
    ("llama", f"{JSON_CALL}\n{JSON_CALL}\nDone.", "", "Done.", [WEATHER] * 2),
    ("llama", f"[{JSON_CALL}]", "", "", [WEATHER]),
    ("llama", '<|python_tag|>{"type": "function", "name": "f", "parameters": {"n": "10"}}', "", "",
     [("f", {"n": "10"})]),
    ("llama", '<|python_tag|>get_weather.call(city="Paris")', "", "", [WEATHER]),
    ("llama", '[get_weather(city="Paris"), f(i=-7, x=1.5e3, b=False, a=["x", (2, None)], o={\'k\': {}},)]', "", "",
     [WEATHER, ("f", {"i": -7, "x": 1500.0, "b": False, "a": ["x", [2, None]], "o": {"k": {}}})]),
    ("llama", "[f(s='it\\'s\\n\\u00e9 \\q \"')]", "", "", [("f", {"s": 'it\'s\né \\q "'})]),
    ("llama", " [f()]", "", "", [("f", {})]),
    ("llama", "[1] is a reference, {x} is a set", "", "[1] is a reference, {x} is a set", []),
    ("llama", '{"name": "Ada", "age": 36}', "", '{"name": "Ada", "age": 36}', []),  # nobody offered "Ada"
    ("llama", '{"answer": 42}', "", '{"answer": 42}', []),
    ("llama", "<|python_tag|>print(7 * 6)", "", "print(7 * 6)", []),
    ("llama", "<|python_tag|>plot(kind=1)", "", "plot(kind=1)", []),
    ("llama", '<|python_tag|>{"name": "unknown", "parameters": {}}', "", "", [("unknown", {})]),
    ("llama", f"<|python_start|>Look.<|python_end|>{JSON_CALL}", "", "Look.", [WEATHER]),
    # --- Mistral
    ("mistral_list", f"[TOOL_CALLS] [{JSON_CALL}, {JSON_CALL}]", "", "", [WEATHER] * 2),
    ("mistral_list", f"[TOOL_CALLS]{JSON_CALL}", "", "", [WEATHER]),
    ("mistral", '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}', "", "", [WEATHER]),
    ("mistral", 'Wait. [TOOL_CALLS]get_weather[CALL_ID]abcdefghi[ARGS]{"city": "Paris"}[TOOL_CALLS]f[ARGS]{}', "",
     "Wait.", [WEATHER, ("f", {})]),
    ("mistral", "[THINK]Hm.[/THINK]Hello", "Hm.", "Hello", []),
    ("mistral", "<think>\nHm.\n</think>\nHello", "Hm.", "Hello", []),
    ("mistral", '[TOOL_CALLS]f[ARGS]{"s": "[1]"}', "", "", [("f", {"s": "[1]"})]),
    # --- DeepSeek
    ("deepseek_v3", f"<｜tool▁calls▁begin｜>{V3_CALL}\n{V3_CALL}<｜tool▁calls▁end｜>", "", "", [WEATHER] * 2),
    ("deepseek_v3.1", f"Well.<｜tool▁calls▁begin｜>{V31_CALL}{V31_CALL}<｜tool▁calls▁end｜>", "", "Well.",
     [WEATHER] * 2),
    ("deepseek_v3", f"<think>Hm</think>{V3_CALL}", "Hm", "", [WEATHER]),
    ("deepseek_v3", '<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{"s": "```"}\n```', "", "",
     [("f", {"s": "```"})]),
    # --- harmony
    ("harmony", "<|channel|>final<|message|>Hello ", "", "Hello ", []),
    ("harmony", "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hi", "Hm.", "Hi",
     []),
    ("harmony", "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.f "
     '<|constrain|>json<|message|>{"i": 1}<|call|>', "Hm.", "", [("f", {"i": 1})]),
    ("harmony", ' to=functions.f<|channel|>commentary json<|message|>{"i": 1}', "", "", [("f", {"i": 1})]),
    ("harmony", "<|channel|>commentary<|message|>I'll look.<|end|><|start|>assistant<|channel|>commentary "
     'to=functions.f code<|message|>{}<|end|><|start|>assistant to=functions.f<|channel|>commentary<|message|>{"i": 2}',
     "", "I'll look.", [("f", {}), ("f", {"i": 2})]),
    ("harmony", "<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>analysis<|message|>Two.<|end|>"
     "<|start|>assistant<|channel|>final<|message|>Three.", "One.\n\nTwo.", "Three.", []),
    ("harmony", "No header at all.", "", "No header at all.", []),
]  # fmt: skip

# Markers that stand for themselves, which control tokens never do.
MARKERS_IN_TEXT: list[tuple[str, str, str, str, list[tuple[str, Any]]]] = [
    ("hermes", "\n<think>never closed <tool_call>", "never closed <tool_call>", "", []),
    ("hermes", "The tags <think> and </think>.", "", "The tags <think> and </think>.", []),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"s": "a </tool_call> \\" b"}}</tool_call>!', "", "!",
     [("f", {"s": 'a </tool_call> " b'})]),
    ("qwen_xml", "<tool_call><function=f><parameter=i>1.5</parameter><parameter=s>\n\nif a <b>:\n</tool_call>"
     "<parameter=x>\n</function>\n\n</parameter></function></tool_call>", "", "",
     [("f", {"i": "1.5", "s": "\nif a <b>:\n</tool_call><parameter=x>\n</function>\n"})]),
]  # fmt: skip


def check(answer: Answer, reasoning: str, content: str, calls: list[tuple[str, Any]]) -> None:
    assert (answer.reasoning, answer.content) == (reasoning, content)
    assert [(name, json.loads(arguments)) for name, arguments in answer.calls] == calls


@pytest.mark.parametrize(("dialect", "text", "reasoning", "content", "calls"), [*ANSWERS, *MARKERS_IN_TEXT])
def test_markers_as_text(dialect: str, text: str, reasoning: str, content: str, calls: list[Any]) -> None:
    check(read(dialect, text, controls=False), reasoning, content, calls)


@pytest.mark.parametrize(("dialect", "text", "reasoning", "content", "calls"), ANSWERS)
def test_markers_as_control_tokens(dialect: str, text: str, reasoning: str, content: str, calls: list[Any]) -> None:
    check(read(dialect, marked(dialect, text)), reasoning, content, calls)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_markers_spelt_in_ordinary_tokens_mean_nothing_where_they_are_control_tokens(dialect: str) -> None:
    text = "<|channel|> is " + " and ".join(sorted(DIALECTS[dialect].controls))
    answer = read(dialect, text)
    assert (answer.reasoning, answer.content, answer.calls) == ("", text, [])


@pytest.mark.parametrize(
    ("dialect", "text", "given_back"),
    [
        ("hermes", 'Hm <tool_call>\n{"name": "f", "arguments": {\n</tool_call> so', 'Hm{"name": "f", "arguments": {so'),
        ("hermes", '<tool_call>{"name": "f", "argum', '{"name": "f", "argum'),
        ("hermes", '<tool_call>{"name": "f", "arguments": [1]}</tool_call>', '{"name": "f", "arguments": [1]}'),
        ("hermes", '<tool_call>{"name": "f", "arguments": {"x": NaN}}', '{"name": "f", "arguments": {"x": NaN}}'),
        ("hermes", '<tool_call>{"name": "f", "arguments": {"x": 1e999}}', '{"name": "f", "arguments": {"x": 1e999}}'),
        ("hermes", '<tool_call>{"name": 7}</tool_call>', '{"name": 7}'),
        ("qwen_xml", "<tool_call>\n<function=f>\n<parameter=i>\n1\n</param", "<function=f>\n<parameter=i>\n1\n</param"),
        ("qwen_xml", "<tool_call><function=f>i=1</function></tool_call>", "<function=f>i=1</function>"),
        ("qwen_xml", "<tool_call>f(1)</tool_call>", "f(1)"),
        ("llama", '{"name": "f", "parameters": {"i": 1', '{"name": "f", "parameters": {"i": 1'),
        ("llama", "[f(1, 2)]", "[f(1, 2)]"),
        ("llama", "[f(i=__import__('os'))]", "[f(i=__import__('os'))]"),
        ("llama", "[f(i=1, i=2)]", "[f(i=1, i=2)]"),
        ("llama", "[f(s='\\", "[f(s='\\"),
        ("mistral_list", '[TOOL_CALLS][{"name": "f", "arguments": {', '[{"name": "f", "arguments": {'),
        ("mistral", "[TOOL_CALLS]f[ARGS]{", "f{"),
        ("mistral", "[TOOL_CALLS]f", "f"),
        ("deepseek_v3", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{", "functionf\n```json\n{"),
        ("deepseek_v3.1", "<｜tool▁call▁begin｜>f<｜tool▁call▁end｜>x", "fx"),
        ("harmony", "<|channel|>commentary to=functions.f<|message|>{", "{"),
        ("harmony", "<|channel|>analysis to=python<|message|>print(1)<|call|>", "print(1)"),
    ],
)  # fmt: skip
def test_what_began_like_a_call_and_is_none_comes_back_as_content(dialect: str, text: str, given_back: str) -> None:
    for controls in (False, True):
        answer = read(dialect, marked(dialect, text) if controls else text, controls=controls)
        assert (answer.content, answer.calls) == (given_back, [])


@pytest.mark.parametrize(
    ("dialect", "text", "content"),
    [
        ("hermes", f"<think>a</think><tool_call>{JSON_CALL}</tool_call>", f"<tool_call>{JSON_CALL}</tool_call>"),
        ("qwen_xml", XML_CALL, XML_CALL),
        ("llama", JSON_CALL, JSON_CALL),
        ("mistral_list", f"[TOOL_CALLS][{JSON_CALL}]", f"[TOOL_CALLS][{JSON_CALL}]"),
        ("deepseek_v3", V3_CALL, V3_CALL),
        ("harmony", "<|channel|>commentary to=functions.f<|message|>{}<|end|>", "{}"),
    ],
)
def test_without_tools_nothing_is_a_call(dialect: str, text: str, content: str) -> None:
    assert read(dialect, text, tools=None, controls=False).content == content
    assert read(dialect, text, tools=None, controls=False).calls == []


@pytest.mark.parametrize("dialect", ["hermes", "qwen_xml", "deepseek_v3", "deepseek_v3.1"])
def test_a_prompt_may_open_the_reasoning(dialect: str) -> None:
    answer = read(dialect, "Hm.\n</think>\n\nHello", thinking=True, controls=False)
    assert (answer.reasoning, answer.content) == ("Hm.", "Hello")


def test_ids_of_the_model_are_kept_unless_they_repeat() -> None:
    call = '{"name": "f", "arguments": {}, "id": "abcdefghi"}'
    assert read("mistral_list", f"[TOOL_CALLS][{call}, {call}]", controls=False).ids == ["abcdefghi", "id0"]
    text = "[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{}"
    assert read("mistral", marked("mistral", text)).ids == ["123456789"]


def test_half_a_surrogate_pair_stays_escaped() -> None:
    text = '<tool_call>{"name": "f", "arguments": {"s": "\\ud800é"}}</tool_call>'
    ((_, arguments),) = read("hermes", text, controls=False).calls
    assert arguments.isascii()
    assert json.loads(arguments) == {"s": "\ud800é"}


@pytest.mark.parametrize("end", ["\udc00", "\udc00<|chan", "\udc00<|start|>"])
def test_a_control_token_that_a_stop_string_cut_is_no_content(end: str) -> None:
    assert read("harmony", marked("harmony", "<|channel|>final<|message|>Hi") + end).content == "Hi"
