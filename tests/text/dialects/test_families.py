"""Released chat templates: which dialect each speaks, and that what it writes of a call is read back as that call."""

from __future__ import annotations

from typing import Any

import pytest

from freehold.text import ChatTemplate
from freehold.text.dialects import dialect_of
from tests.support.assets import asset

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
CALLING = {name: dialect for name, dialect in DIALECT_OF.items() if dialect != "plain" and name != f"{L}Qwen-QwQ-32B"}


def template(name: str) -> ChatTemplate:
    return ChatTemplate(asset(f"templates/{name}.jinja").read_text(), "<s>", "</s>")


@pytest.mark.parametrize(("name", "dialect"), DIALECT_OF.items())
def test_a_template_tells_its_dialect(name: str, dialect: str) -> None:
    assert dialect_of(template(name).source) == dialect


def test_mistrals_reasoning_models_are_known_by_their_vocabulary() -> None:
    assert dialect_of("[INST]", ["[THINK]", "[INST]"]) == "mistral"
    assert dialect_of("[INST]", ["[INST]"]) == "plain"


def conversation(dialect: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    given: Any = arguments
    call = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": given}}
    return [
        {"role": "user", "content": "Call it."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
