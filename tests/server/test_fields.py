"""Every field of OpenAI's requests has a fate."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from freehold.server.openai import fields
from freehold.server.openai.chat.request import ChatRequest
from freehold.server.openai.completions.request import CompletionRequest
from freehold.server.openai.fields import Neutral
from tests.server.fake_engine import FakeModel
from tests.support.assets import asset

CHAT: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
COMPLETION: dict[str, Any] = {"model": "fake", "prompt": "hi"}
BEYOND_OPENAI = {"top_k", "min_p", "repetition_penalty", "stop_token_ids", "ignore_eos"}
NEEDS_THE_MODEL = ["parallel_tool_calls", "reasoning_effort", "tool_choice", "tools"]

ENDPOINTS = [
    pytest.param("CreateChatCompletionRequest", ChatRequest, fields.CHAT, id="chat"),
    pytest.param("CreateCompletionRequest", CompletionRequest, fields.COMPLETIONS, id="completions"),
]

TABLES: list[tuple[str, dict[str, Any], Mapping[str, Neutral]]] = [
    ("chat/completions", CHAT, fields.CHAT),
    ("completions", COMPLETION, fields.COMPLETIONS),
]

# Something that each field that is not honoured could be asked for.
WISHES: dict[str, object] = {
    "audio": {"voice": "alloy", "format": "wav"},
    "function_call": {"name": "f"},
    "functions": [{"name": "f"}],
    "modalities": ["text", "audio"],
    "moderation": {"model": "omni"},
    "parallel_tool_calls": "yes",
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "reasoning_effort": "high",
    "response_format": {"type": "json_object"},
    "service_tier": "flex",
    "store": True,
    "suffix": "end",
    "tool_choice": "required",
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "verbosity": "low",
    "web_search_options": {},
}


@pytest.fixture(scope="module")
def schemas() -> Mapping[str, Any]:
    """OpenAI's own description of its API."""
    text = asset("openapi/openapi.yaml").read_text(encoding="utf-8")
    yaml = pytest.importorskip("yaml")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in Python takes a quarter of a minute
    schemas = loader(text).get_single_data()["components"]["schemas"]
    assert isinstance(schemas, dict)
    return schemas


def properties(schemas: Mapping[str, Any], schema: Mapping[str, Any]) -> set[str]:
    """Names of a schema's properties, those of the schemas it is made of included."""
    if "$ref" in schema:
        return properties(schemas, schemas[schema["$ref"].rsplit("/", 1)[1]])
    names = set(schema.get("properties", ()))
    for part in schema.get("allOf", ()):
        names |= properties(schemas, part)
    return names


@pytest.mark.parametrize(("schema", "model", "neutral"), ENDPOINTS)
def test_every_field_of_openais_description_has_exactly_one_fate(
    schemas: Mapping[str, Any], schema: str, model: Any, neutral: Mapping[str, Neutral]
) -> None:
    described = properties(schemas, schemas[schema])
    honoured = set(model.model_fields)
    assert len(described) > 15
    assert described - honoured - set(neutral) == set()
    assert honoured & set(neutral) == set()
    assert honoured - described == BEYOND_OPENAI
    assert set(neutral) - described == set()


def test_every_field_of_openais_messages_has_exactly_one_fate(schemas: Mapping[str, Any]) -> None:
    described: set[str] = set()
    for role in ("Developer", "System", "User", "Assistant", "Tool", "Function"):
        described |= properties(schemas, schemas[f"ChatCompletionRequest{role}Message"])
    # Annotations are part of answers, and clients send answers back as they came. Reasoning is part of ours.
    assert described | {"annotations"} == {"role", "content", "name"} | set(fields.MESSAGE)


@pytest.mark.parametrize(
    ("path", "base", "name", "value"),
    [
        pytest.param(path, base, name, value, id=f"{path}-{name}-{value}")
        for path, base, table in TABLES
        for name, neutral in table.items()
        for value in (None, *neutral.values)
    ],
)  # fmt: skip
def test_a_value_that_asks_for_nothing_changes_nothing(
    client: TestClient, path: str, base: dict[str, Any], name: str, value: object
) -> None:
    plain = client.post(f"/v1/{path}", json=base).json()
    asked = client.post(f"/v1/{path}", json={**base, name: value})
    assert asked.status_code == 200
    assert asked.json()["choices"] == plain["choices"]


@pytest.mark.parametrize("name", [*fields.CHAT, "service_tier", *NEEDS_THE_MODEL])
def test_a_chat_field_that_cannot_be_honoured_is_refused_by_name(client: TestClient, name: str) -> None:
    refused = client.post("/v1/chat/completions", json={**CHAT, name: WISHES[name]})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == name
    assert name in refused.json()["error"]["message"]
    assert refused.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("name", fields.COMPLETIONS)
def test_a_completion_field_that_is_not_honoured_is_refused_by_name(client: TestClient, name: str) -> None:
    refused = client.post("/v1/completions", json={**COMPLETION, name: WISHES[name]})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == name


@pytest.mark.parametrize(
    ("path", "base"), [("chat/completions", CHAT), ("completions", COMPLETION)], ids=["chat", "completions"]
)
def test_an_unknown_field_is_refused_with_the_nearest_known_one(
    client: TestClient, path: str, base: dict[str, Any]
) -> None:
    error = client.post(f"/v1/{path}", json={**base, "temprature": 0}).json()["error"]
    assert error["code"] == "unknown_parameter"
    assert error["param"] == "temprature"
    assert "'temperature'" in error["message"]


def test_labels_have_no_effect_on_the_output(client: TestClient) -> None:
    plain = client.post("/v1/chat/completions", json=CHAT).json()
    labels = {"user": "u", "safety_identifier": "s", "prompt_cache_key": "k"}
    labelled = client.post("/v1/chat/completions", json={**CHAT, **labels}).json()
    assert labelled["choices"] == plain["choices"]


def test_metadata_and_service_tier_come_back(client: TestClient) -> None:
    answer = client.post("/v1/chat/completions", json={**CHAT, "metadata": {"a": "b"}, "service_tier": "auto"}).json()
    assert answer["metadata"] == {"a": "b"}
    assert answer["service_tier"] == "default"
    plain = client.post("/v1/chat/completions", json=CHAT).json()
    assert "metadata" not in plain
    assert "service_tier" not in plain


@pytest.mark.parametrize(
    "metadata", [{str(number): "" for number in range(17)}, {"a": 1}, {"k" * 65: ""}, {"k": "v" * 513}, ["a"]]
)
def test_metadata_is_bounded(client: TestClient, metadata: object) -> None:
    error = client.post("/v1/chat/completions", json={**CHAT, "metadata": metadata}).json()["error"]
    assert error["param"] == "metadata"


def test_what_is_left_open_follows_the_models_recommendation(client: TestClient, model: FakeModel) -> None:
    client.post("/v1/chat/completions", json={**CHAT, "top_p": 0.5})
    client.post("/v1/chat/completions", json={**CHAT, "temperature": 1})
    first, second = (request.sampling for request in model.engine.submitted)
    assert (first.temperature, first.top_p) == (0.0, 0.5)
    assert (second.temperature, second.top_p) == (1.0, 1.0)


def test_sampling_fields_reach_the_engine(client: TestClient, model: FakeModel) -> None:
    wish = {
        "temperature": 0.7, "top_p": 0.9, "presence_penalty": 0.5, "frequency_penalty": -0.5, "seed": -3,
        "logit_bias": {"65": 5, "66": -100.0}, "stop": ["x", "yz"], "max_completion_tokens": 7,
    }  # fmt: skip
    assert client.post("/v1/chat/completions", json={**CHAT, **wish}).status_code == 200
    request = model.engine.submitted[-1]
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed) == (0.7, 0.9, -3)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.5, -0.5)
    assert dict(sampling.logit_bias) == {65: 5.0, 66: -100.0}
    assert (request.stop.max_tokens, request.stop.strings) == (7, ("x", "yz"))


def test_the_manual_tells_the_fate_of_every_field() -> None:
    manual = (Path(__file__).resolve().parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
    for model in (ChatRequest, CompletionRequest):
        for name in model.model_fields:
            assert f"`{name}`" in manual
    rows = dict(re.findall(r"\| `(\w+)` \|([^|]*)(?=\|)", manual))
    neutral = {**fields.CHAT, **fields.COMPLETIONS}
    assert set(rows) == set(neutral)
    for name, field in neutral.items():
        assert re.findall(r"`([^`]+)`", rows[name]) == [json.dumps(value) for value in field.values]
