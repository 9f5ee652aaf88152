"""Released chat templates: which dialect each speaks, and that what it writes of a call is read back as that call."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from freehold.text import ChatTemplate, Text
from freehold.text.abilities import CallForm, abilities_of
from freehold.text.dialects import DIALECTS, dialect_of
from freehold.text.turns import turn_ends
from tests.support.assets import asset
from tests.text.conftest import real_tokenizer
from tests.text.dialects.reading import TOOLS, Answer, marked, read, tool

L, M, A, T = "llama.cpp/", "mistral-common/chat_templates/", "axolotl/", "trl/"
DIALECT_OF = {
    f"{L}meta-llama-Llama-3.1-8B-Instruct": "llama",
    f"{L}meta-llama-Llama-3.2-3B-Instruct": "llama",
    f"{L}meta-llama-Llama-3.3-70B-Instruct": "llama",
    f"{A}llama4": "llama",
    f"{A}llama3": "plain",
    f"{M}v1": "plain",
    f"{M}v3": "mistral_list",
    f"{M}v7": "mistral_list",
    f"{L}mistralai-Mistral-Nemo-Instruct-2407": "mistral_list",
    f"{M}v11": "mistral",
    f"{M}v13_think": "mistral",
    f"{M}v15_think": "mistral",
    f"{L}Mistral-Small-3.2-24B-Instruct-2506": "mistral",
    f"{L}Qwen-Qwen2.5-7B-Instruct": "hermes",
    f"{L}Qwen-Qwen3-0.6B": "hermes",
    f"{L}Qwen-QwQ-32B": "hermes",
    f"{L}NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "hermes",
    f"{L}Qwen3-Coder": "qwen_xml",
    f"{L}Qwen3.5-4B": "qwen_xml",
    f"{T}deepseekv3": "deepseek_v3",
    f"{A}deepseek_v3": "deepseek_v3",
    f"{L}deepseek-ai-DeepSeek-R1-Distill-Llama-8B": "deepseek_v3",
    f"{L}llama-cpp-deepseek-r1": "deepseek_v3",
    f"{L}deepseek-ai-DeepSeek-V3.1": "deepseek_v3.1",
    f"{L}openai-gpt-oss-120b": "harmony",
    f"{L}google-gemma-2-2b-it": "plain",
    f"{A}chatml": "plain",
}
# The template of Hermes 3 cannot render without tools in a form of its own, that for R1 uses what only llama.cpp has.
LEFT_OUT = (f"{L}NousResearch-Hermes-3-Llama-3.1-8B-tool_use", f"{L}llama-cpp-deepseek-r1")
CALLING = {name: dialect for name, dialect in DIALECT_OF.items() if dialect != "plain" and name not in LEFT_OUT}


def template(name: str) -> ChatTemplate:
    return ChatTemplate(asset(f"templates/{name}.jinja").read_text(), "<s>", "</s>")


@pytest.mark.parametrize(("name", "dialect"), DIALECT_OF.items())
def test_a_template_tells_its_dialect(name: str, dialect: str) -> None:
    assert dialect_of(template(name).source) == dialect


def test_mistrals_reasoning_models_are_known_by_their_vocabulary() -> None:
    assert dialect_of("[INST]", ["[THINK]", "[INST]"]) == "mistral"
    assert dialect_of("[INST]", ["[INST]"]) == "plain"


ARGUMENTS = {"s": 'a "quoted" é', "i": 3}


def called(form: CallForm, count: int = 1) -> list[dict[str, Any]]:
    arguments: Any = json.dumps(ARGUMENTS, ensure_ascii=False) if form.arguments_as_text else ARGUMENTS
    calls = [
        {"id": f"abcdefgh{number}", "type": "function", "function": {"name": "f", "arguments": arguments}}
        for number in range(count)
    ]
    return [
        {"role": "user", "content": "Call it."},
        {"role": "assistant", "content": form.no_content, "tool_calls": calls},
        *({"role": "tool", "tool_call_id": call["id"], "content": "RESULT"} for call in calls),
    ]


@pytest.mark.parametrize(("name", "dialect"), CALLING.items())
def test_a_call_that_a_template_writes_is_read_back(name: str, dialect: str) -> None:
    found = template(name)
    abilities = abilities_of(found.render, DIALECTS[dialect].efforts)
    assert abilities.calls is not None
    assert abilities.results
    count = 2 if abilities.several else 1
    messages = called(abilities.calls, count)
    prompt, text = found.render(messages[:1], tools=TOOLS[:1]), found.render(messages, tools=TOOLS[:1])
    start = next((at for at, pair in enumerate(zip(prompt, text, strict=False)) if pair[0] != pair[1]), len(prompt))
    if "<" in text[:start].rpartition(">")[2]:
        start = text.rindex("<", 0, start)  # two markers may begin alike
    said = text[start : text.index("RESULT")].split("</s>")[0]
    answer = read(dialect, said, controls=False, thinking=DIALECTS[dialect].is_thinking(text[:start]))
    assert [(name, json.loads(arguments)) for name, arguments in answer.calls] == [("f", ARGUMENTS)] * count


TOOLS_HAVE_A_PLACE = {name: "deepseek" not in dialect for name, dialect in CALLING.items()}


@pytest.mark.parametrize("name", DIALECT_OF)
def test_which_templates_have_a_place_for_tools(name: str) -> None:
    abilities = abilities_of(template(name).render, DIALECTS[DIALECT_OF[name]].efforts)
    assert abilities.tools == TOOLS_HAVE_A_PLACE.get(name, "QwQ" in name or "Hermes" in name)


@pytest.mark.parametrize(
    ("name", "efforts"),
    [
        (f"{L}openai-gpt-oss-120b", ["low", "medium", "high"]),
        (f"{M}v15_think", ["none", "high"]),
        (f"{L}Qwen-Qwen3-0.6B", ["none", "medium"]),
        (f"{L}Qwen3.5-4B", ["none", "medium"]),
        (f"{L}deepseek-ai-DeepSeek-V3.1", ["none", "medium"]),
        (f"{L}Qwen-Qwen2.5-7B-Instruct", []),
        (f"{L}Qwen3-Coder", []),
        (f"{T}deepseekv3", []),
        (f"{L}google-gemma-2-2b-it", []),
    ],
)
def test_which_templates_can_say_how_hard_to_think(name: str, efforts: list[str]) -> None:
    assert list(abilities_of(template(name).render, DIALECTS[DIALECT_OF[name]].efforts).efforts) == efforts


@pytest.mark.parametrize(
    ("name", "variables", "thinking"),
    [
        (f"{T}deepseekv3", {}, True),
        (f"{L}Qwen3.5-4B", {}, True),
        (f"{L}Qwen3.5-4B", {"enable_thinking": False}, False),
        (f"{L}Qwen-Qwen3-0.6B", {}, False),
        (f"{L}Qwen-Qwen3-0.6B", {"enable_thinking": False}, False),
        (f"{L}deepseek-ai-DeepSeek-V3.1", {}, False),
        (f"{L}deepseek-ai-DeepSeek-V3.1", {"thinking": True}, True),
    ],
)
def test_which_prompts_open_the_reasoning(name: str, variables: dict[str, object], thinking: bool) -> None:
    rendered = template(name).render([{"role": "user", "content": "Think <think>"}], variables=variables)
    assert DIALECTS[DIALECT_OF[name]].is_thinking(rendered) is thinking


# --- Real vocabularies -----------------------------------------------------------------------------------------------

FAMILIES = [
    ("llama-bpe", f"{L}meta-llama-Llama-3.3-70B-Instruct", "<|eot_id|>"),
    ("llama4", f"{A}llama4", "<|eot|>"),
    ("qwen2", f"{L}Qwen-Qwen2.5-7B-Instruct", "<|im_end|>"),
    ("o200k_harmony", f"{L}openai-gpt-oss-120b", "<|return|>"),
    ("mistral/tokenizer.model.v1", f"{M}v1_spm", "</s>"),
    ("mistral/mistral_instruct_tokenizer_240323.model.v3", f"{M}v3_spm", "</s>"),
    ("mistral/mistral_instruct_tokenizer_241114.model.v7", f"{M}v7_spm", "</s>"),
    ("llama-spm", f"{A}mistral_v1", "</s>"),
]


@pytest.mark.parametrize(("vocabulary", "name", "end"), FAMILIES)
def test_the_token_that_ends_a_turn_ends_an_answer(vocabulary: str, name: str, end: str) -> None:
    """Without any settings beside the vocabulary, so that nothing depends on a complete generation_config.json."""
    tokenizer, chat = real_tokenizer(vocabulary), template(name)
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "ANSWER"}]
    rendered = ChatTemplate(chat.source, "<s>", "</s>").render(turns, add_generation_prompt=False)
    after = tokenizer.encode(rendered[rendered.rindex("ANSWER") + 6 :].lstrip(), add_special=False)
    assert tokenizer.token_text(after[0]) == end
    assert after[0] in Text(tokenizer, chat).end_ids


@pytest.mark.parametrize(
    ("vocabulary", "ends", "goes_on"),
    [
        ("llama-bpe", ["<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"], ["<|python_tag|>"]),
        ("llama4", ["<|eot|>", "<|eom|>", "<|end_of_text|>"], ["<|python_start|>", "<|python_end|>"]),
        ("o200k_harmony", ["<|return|>", "<|call|>", "<|endoftext|>"], ["<|end|>", "<|start|>"]),
        ("qwen2", ["<|im_end|>", "<|endoftext|>"], ["<|im_start|>"]),
    ],
)
def test_what_ends_an_answer_and_what_does_not(vocabulary: str, ends: list[str], goes_on: list[str]) -> None:
    tokenizer = real_tokenizer(vocabulary)
    found = {tokenizer.token_text(token_id) for token_id in Text(tokenizer, None).end_ids}
    assert found == set(ends)
    assert not found & set(goes_on)


def test_gemma_ends_its_turns() -> None:
    assert turn_ends(["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"]) == {"<end_of_turn>"}
    assert turn_ends(["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"]) == {"<｜end▁of▁sentence｜>"}


def harmony(name: str) -> str:
    return asset(f"templates/harmony-expected/test_{name}.txt").read_text().rstrip("\n")


@pytest.mark.parametrize(
    ("name", "calls"),
    [("simple_reasoning_response", []), ("simple_tool_call", ["lookup_weather"])],
)
def test_answers_of_gpt_oss_token_by_token(name: str, calls: list[str]) -> None:
    """OpenAI's own examples, their ids through the detokeniser and the parser as the engine does it."""
    tokenizer = real_tokenizer("o200k_harmony")
    dialect = DIALECTS["harmony"]
    shown = dialect.shown(tokenizer.special_tokens)
    assert set(shown) == dialect.controls
    detokeniser = tokenizer.detokeniser(shown=shown.values())
    parser = dialect.parser(shown=shown, tools=[tool(name) for name in calls])
    answer = Answer()
    for token_id in map(int, harmony(name).split()):
        if token_id not in Text(tokenizer, None).end_ids:
            answer.add(parser.push(detokeniser.push(token_id)))
    answer.add(parser.push(detokeniser.finish()))
    answer.add(parser.finish())
    assert answer.reasoning.startswith("User asks")
    assert [name for name, _ in answer.calls] == calls
    assert bool(answer.content) != bool(calls)
    assert "<|" not in answer.content + answer.reasoning


def test_the_streamed_example_of_harmony() -> None:
    """Its tool is one that nobody offers here, so that what is said to it is content."""
    answer = read("harmony", marked("harmony", harmony("streamable_parser").split("<|call|>")[0]))
    assert answer.reasoning.endswith("Let's browse to confirm.")
    assert json.loads(answer.content)["source"] == "news"


META_TOOLS = [tool(name) for name in ("get_weather", "get_user_info", "trending_songs", "brave_search")]
META_CALLS = {
    "llama3_1": [
        ("brave_search", {"query": "latest price of 1oz gold"}),
        ("trending_songs", {"n": "10", "genre": "all"}),
    ],
    "llama3_3": [
        ("get_weather", {"city": "San Francisco", "metric": "celsius"}),
        ("get_weather", {"city": "Seattle", "metric": "celsius"}),
        ("get_user_info", {"user_id": 7890, "special": "black"}),
        ("brave_search", {"query": "latest price of 1oz gold"}),
        ("trending_songs", {"n": "10", "genre": "all"}),
    ],
    "llama4": [
        ("get_weather", {"city": "San Francisco"}),
        ("get_weather", {"city": "Seattle"}),
        ("get_user_info", {"user_id": 7890, "special": "black"}),
    ],
}


@pytest.mark.parametrize(("document", "calls"), META_CALLS.items())
def test_the_answers_in_metas_documents(document: str, calls: list[tuple[str, Any]]) -> None:
    text = asset(f"docs/meta/{document}_prompt_format.md").read_text()
    found = []
    for part in text.split("Model Response Format\n```\n")[1:]:
        said = re.split(r"<\|eo.+?\|>|\n```", part)[0]
        answer = read("llama", marked("llama", said), tools=META_TOOLS)
        found += [(name, json.loads(arguments)) for name, arguments in answer.calls]
        assert bool(answer.calls) != bool(answer.content)
    assert found == calls


def test_mistrals_own_calls_are_read_back() -> None:
    """The text of mistral-common's sample, from its tokens."""
    tokenizer = real_tokenizer("mistral/mistral_instruct_tokenizer_240323.model.v3")
    dialect = DIALECTS["mistral_list"]
    folder = asset("templates/mistral-common/samples/parallel_calls")
    ids = json.loads((folder / "tokens_v3.json").read_text())["tokens"]
    begin = ids.index(tokenizer.special_tokens["[TOOL_CALLS]"])
    ids = ids[begin : ids.index(tokenizer.special_tokens["</s>"], begin)]
    shown = dialect.shown(tokenizer.special_tokens)
    detokeniser = tokenizer.detokeniser(shown=shown.values())
    text = "".join([*map(detokeniser.push, ids), detokeniser.finish()])
    messages = json.loads((folder / "sample.json").read_text())["messages"]
    wanted = next(message["tool_calls"] for message in messages if message.get("tool_calls"))
    parser = dialect.parser(shown=shown, tools=TOOLS)
    answer = Answer()
    answer.add([*parser.push(text), *parser.finish()])
    assert [(name, json.loads(arguments)) for name, arguments in answer.calls] == [
        (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in wanted
    ]
    assert answer.ids == [call["id"] for call in wanted]
