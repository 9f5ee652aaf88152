"""Conversations as the vendors' own code renders them: mistral-common's samples and OpenAI's harmony expectations.

Not every expectation can be met by a chat template, because the vendors' code does things that their templates do not.
What is left out, or compared after a stated change, is written down at each test.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from freehold.server.openai.chat.messages import parse_messages
from freehold.server.openai.chat.tools import parse_tools
from freehold.text import ChatTemplate
from freehold.text.abilities import CallForm, abilities_of
from freehold.text.loading import model_file_tokenizer
from freehold.text.sources.settings import Settings
from tests.support.assets import asset
from tests.text.conftest import real_tokenizer

# --- Mistral: versions 1 to 3 have expectations and vocabularies; 7 and later have templates only -------------------

MISTRAL_FILES = {
    "v1": "tokenizer.model.v1",
    "v2": "mistral_instruct_tokenizer_240216.model.v2",
    "v3": "mistral_instruct_tokenizer_240323.model.v3",
}
SAMPLES = [
    ("v1", "no_tools"),
    *[(version, name) for version in ("v2", "v3") for name in (
        "no_tools", "several_calls", "get_weather_full", "get_weather_no_history", "get_weather_no_system_prompt")],
    # Left out: parallel_calls in v2, where Mistral's code joins the results of several tools into one list and its
    # template does not.
    ("v3", "parallel_calls"),
]  # fmt: skip


def mistral_sample(version: str, name: str) -> tuple[dict[str, Any], str, list[int]]:
    """A sample's request, the text and the ids that Mistral's own code makes of it."""
    folder = asset(f"templates/mistral-common/samples/{name}")
    sample = json.loads((folder / "sample.json").read_text())
    text = (folder / f"text_{version}.txt").read_text().replace("▁", " ").replace("<0x0A>", "\n")
    ids = json.loads((folder / f"tokens_{version}.json").read_text())["tokens"]
    for message in sample["messages"]:
        for call in message.get("tool_calls") or []:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return sample, text, ids


def with_parsed_results(rendered: str, sample: dict[str, Any]) -> str:
    """Mistral's code writes a tool's JSON result as JSON, its templates write a string. Does what the code does."""
    for message in sample["messages"]:
        if message["role"] == "tool" and message["content"].startswith("{"):
            as_text, as_json = json.dumps(message["content"]), json.dumps(json.loads(message["content"]))
            rendered = rendered.replace(as_text, as_json)
    return rendered


@pytest.mark.parametrize(("version", "name"), SAMPLES)
def test_mistral_text_and_ids(version: str, name: str) -> None:
    sample, text, ids = mistral_sample(version, name)
    source = asset(f"templates/mistral-common/chat_templates/{version}_spm.jinja").read_text()
    rendered = ChatTemplate(source, "<s>", "</s>").render(sample["messages"], tools=sample.get("tools") or None)
    rendered = with_parsed_results(rendered, sample)
    assert rendered.replace("<s> ", "<s>") == text.replace("<s> ", "<s>")
    # These templates write every space, so only the start of a text gets SentencePiece's.
    path = asset(f"tokenizers/mistral/{MISTRAL_FILES[version]}")
    assert model_file_tokenizer(path, Settings(legacy=False)).encode(rendered, add_special=False) == ids


@pytest.mark.parametrize(("version", "name"), SAMPLES)
def test_mistral_text_of_a_request(version: str, name: str) -> None:
    """The same samples as requests to our server, calls and results read and written by it."""
    sample, text, _ = mistral_sample(version, name)
    request = json.loads((asset(f"templates/mistral-common/samples/{name}") / "sample.json").read_text())
    source = asset(f"templates/mistral-common/chat_templates/{version}_spm.jinja").read_text()
    template = ChatTemplate(source, "<s>", "</s>")
    form = abilities_of(template.render, ()).calls
    messages = [message.json(form=form) for message in parse_messages(request["messages"])]
    rendered = template.render(messages, tools=parse_tools(request.get("tools") or []) or None)
    assert with_parsed_results(rendered, sample).replace("<s> ", "<s>") == text.replace("<s> ", "<s>")


@pytest.mark.parametrize(("version", "name"), [case for case in SAMPLES if case[0] != "v1"])
def test_mistral_ids_by_the_other_convention(version: str, name: str) -> None:
    """Templates without those spaces, each stretch of text encoded by itself, as Mistral's code does: the same ids."""
    sample, _, ids = mistral_sample(version, name)
    source = asset(f"templates/mistral-common/chat_templates/{version}.jinja").read_text()
    rendered = ChatTemplate(source, "<s>", "</s>").render(sample["messages"], tools=sample.get("tools") or None)
    tokenizer = real_tokenizer(f"mistral/{MISTRAL_FILES[version]}")
    assert tokenizer.encode(with_parsed_results(rendered, sample), add_special=False) == ids


# --- OpenAI's harmony: released as code and as a template for gpt-oss ------------------------------------------------

DATE = "Current date: 2025-06-28\n"
QUESTION = "What is the capital of the largest country in the world?"
ROBOT = "Answer the user's questions like a robot."
LOOKUP = {
    "type": "function",
    "function": {
        "name": "lookup_weather",
        "description": "Use this tool to lookup the weather in a given location. "
        "Call it with the parameter 'location', can be any textual description of a location.",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
    },
}
# Left out, because the template cannot be asked for it: test_reasoning_system_message* (channels without commentary,
# another date or cutoff), test_preserve_cot (keeping old reasoning). Texts for the parser are used for the tokenizer.


def harmony(name: str) -> str:
    return asset(f"templates/harmony-expected/test_{name}.txt").read_text().rstrip("\n")


def gpt_oss(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None, **variables: object) -> str:
    source = asset("templates/llama.cpp/openai-gpt-oss-120b.jinja").read_text()
    template = ChatTemplate(source, clock=lambda: datetime.datetime(2025, 6, 28, tzinfo=datetime.UTC))
    return template.render(messages, tools=tools, variables=variables)


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("name", "tools", "builtin"),
    [
        ("no_tools", None, []),
        ("browser_tool_only", None, ["browser"]),
        ("browser_and_python_tool", None, ["browser", "python"]),
        ("browser_and_function_tool", [LOOKUP], ["browser"]),
    ],
)
def test_harmony_without_messages(name: str, tools: list[dict[str, Any]] | None, builtin: list[str]) -> None:
    """The template needs a message; what it writes before it is compared."""
    rendered = gpt_oss([user("x")], tools, builtin_tools=builtin)
    assert rendered.split("<|start|>user")[0] + "<|start|>assistant" == harmony(name)


@pytest.mark.parametrize(
    ("name", "question", "effort"),
    [
        ("simple_convo", "What is 2 + 2?", "medium"),
        ("simple_convo_low_effort_no_instruction", QUESTION, "low"),
        ("simple_convo_medium_effort_no_instruction", QUESTION, "medium"),
        ("simple_convo_high_effort_no_instruction", QUESTION, "high"),
    ],
)
def test_harmony_conversations(name: str, question: str, effort: str) -> None:
    """These expectations have no date, which the template always writes."""
    assert gpt_oss([user(question)], reasoning_effort=effort).replace(DATE, "") == harmony(name)


@pytest.mark.parametrize("effort", ["low", "medium", "high"])
def test_harmony_instructions(effort: str) -> None:
    """Besides the date, the template writes an empty line after the instructions."""
    rendered = gpt_oss([{"role": "developer", "content": ROBOT}, user(QUESTION)], reasoning_effort=effort)
    assert rendered.replace(DATE, "").replace("\n\n<|end|>", "<|end|>") == harmony(f"simple_convo_{effort}_effort")


def test_harmony_drops_old_reasoning() -> None:
    """This expectation has no system message, which the template always writes."""
    answer = {"role": "assistant", "thinking": "simple arithmetic", "content": "2 + 2 equals 4."}
    rendered = gpt_oss([user("What is 2 + 2?"), answer, user("What about 9 / 2?")])
    assert rendered.split("<|end|>", 1)[1] == harmony("dropping_cot_by_default")


def test_harmony_keeps_the_reasoning_of_a_call() -> None:
    """The code writes <|constrain|>, and results as they are without a channel; the template writes them as JSON."""
    result = '{"temperature": 20, "description": "sunny"}'
    function = {"name": "lookup_weather", "arguments": '{"location": "San Francisco"}'}
    request = [
        user("What is the weather in SF?"),
        {
            "role": "assistant",
            "reasoning_content": "User asks: “What is the weather in SF?” We need to use lookup_weather tool.",
            "tool_calls": [{"id": "1", "function": function}],
        },
        {"role": "tool", "tool_call_id": "1", "content": result},
    ]
    form = CallForm(arguments_as_text=False, no_content="")
    rendered = gpt_oss([message.json(form=form, reasoning_field="thinking") for message in parse_messages(request)])
    rendered = rendered.split("<|end|>", 1)[1]
    assert json.dumps(result) in rendered
    rendered = rendered.replace(
        f" to=assistant<|channel|>commentary<|message|>{json.dumps(result)}", f"<|message|>{result}"
    )
    expected = harmony("does_not_drop_if_ongoing_analysis")
    assert rendered == expected.replace("<|constrain|>json", "json")


def test_harmony_keeps_the_reasoning_of_the_last_answer() -> None:
    """In a training example, which the template ends with <|return|>."""
    source = asset("templates/llama.cpp/openai-gpt-oss-120b.jinja").read_text()
    messages = [
        user("What is 2 + 2?"), {"role": "assistant", "content": "4"}, user("What is 3 + 5?"),
        {"role": "assistant", "content": "8", "thinking": "thinking 3+5"},
    ]  # fmt: skip
    rendered = ChatTemplate(source).render(messages, add_generation_prompt=False).split("<|end|>", 1)[1]
    assert rendered.replace("<|return|>", "<|end|>") == harmony("keep_analysis_between_finals")


def test_harmony_functions() -> None:
    """All but the last, `kitchensink`, on whose default the template fails. It also writes a comma after defaults."""
    unit = {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"}
    city = {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}
    cities = {
        "type": "array",
        "items": {"type": "string"},
        "description": 'List of city and state, e.g. ["San Francisco, CA", "New York, NY"]',
    }
    functions: list[tuple[str, str, dict[str, Any]]] = [
        ("get_location", "Gets the location of the user.", {}),
        ("get_current_weather", "Gets the current weather in the provided location.", {"location": city}),
        ("get_multiple_weathers", "Gets the current weather in the provided list of locations.", {"locations": cities}),
    ]
    tools = []
    for name, description, needed in functions:
        properties = {**needed, "format": unit} if needed else {}
        schema = {"type": "object", "properties": properties, "required": list(needed)}
        tools.append({"function": {"name": name, "description": description, "parameters": schema}})
    rendered = gpt_oss(
        [{"role": "developer", "content": "Always respond in riddles"}, user("What is the weather like in SF?")],
        tools,
        reasoning_effort="high",
    )
    expected = harmony("render_functions_with_parameters")
    start, end = expected.index("// A function with various"), expected.index("} // namespace functions")
    assert rendered.replace("default: celsius,", "default: celsius") == expected[:start] + expected[end:]


@pytest.mark.parametrize("name", ["simple_reasoning_response", "simple_tool_call"])
def test_harmony_ids_of_answers(name: str) -> None:
    tokenizer = real_tokenizer("o200k_harmony")
    ids = [int(number) for number in harmony(name).split()]
    text = tokenizer.decode(ids, skip_special=False)
    assert text.startswith("<|channel|>analysis<|message|>User asks")
    assert tokenizer.encode(text) == ids
    assert "<|" not in tokenizer.decode(ids)


@pytest.mark.parametrize("name", ["simple_convo", "streamable_parser", "does_not_drop_if_ongoing_analysis"])
def test_harmony_texts_are_tokens_and_back(name: str) -> None:
    tokenizer = real_tokenizer("o200k_harmony")
    text = harmony(name)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids, skip_special=False) == text
    assert ids.count(tokenizer.special_tokens["<|message|>"]) == text.count("<|message|>")
    ends = ("<|return|>", "<|call|>", "<|endoftext|>")
    assert set(tokenizer.eos_ids) == {tokenizer.special_tokens[end] for end in ends}
