"""What a client gets wrong is a 400 with a name, and the next client notices nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient


def called(name: str, arguments: object) -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}


CALL = called("f", "{}")
CHAT: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
COMPLETION: dict[str, Any] = {"model": "fake", "prompt": "hi"}
BASES = {"chat/completions": CHAT, "completions": COMPLETION}

# Every integer field: the values that it takes among those tried.
EDGES = [-1, 0, 1, 2**31, 2**63, -(2**63) - 1, int("1" * 400)]
INTEGERS: dict[str, dict[str, set[int]]] = {
    "chat/completions": {
        "n": {1},
        "seed": {-1, 0, 1, 2**31},
        "max_tokens": {1},
        "max_completion_tokens": {1},
        "top_logprobs": set(),  # not without logprobs
        "top_k": {0, 1},
    },
    "completions": {
        "n": {1},
        "seed": {-1, 0, 1, 2**31},
        "max_tokens": {1},
        "logprobs": {0, 1},
        "best_of": {1},
        "top_k": {0, 1},
    },
}
NUMBERS: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "repetition_penalty": (0.01, 10),
}
WRONG_TYPES: tuple[Any, ...] = ("1", True, [], {}, [1], 1.5)


@pytest.fixture(autouse=True)
def _the_next_request_is_answered_as_before(client: TestClient) -> Iterator[None]:
    before = client.post("/v1/chat/completions", json=CHAT).json()["choices"]
    yield
    after = client.post("/v1/chat/completions", json=CHAT)
    assert after.status_code == 200
    assert after.json()["choices"] == before


def refused(client: TestClient, path: str, body: object) -> dict[str, str | None]:
    """The error of a request that has to be a 400."""
    response = client.post(f"/v1/{path}", content=json.dumps(body))
    assert response.status_code == 400, response.text
    error: dict[str, str | None] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


CASES = [(path, name, value) for path, table in INTEGERS.items() for name in table for value in EDGES]


@pytest.mark.parametrize(("path", "name", "value"), CASES, ids=[f"{p}-{n}-{str(v)[:20]}" for p, n, v in CASES])
def test_integers_at_their_edges(client: TestClient, path: str, name: str, value: int) -> None:
    taken = value in INTEGERS[path][name]
    response = client.post(f"/v1/{path}", json={**BASES[path], name: value})
    # Past the context is a refusal of its own.
    assert response.status_code == (200 if taken else 400), response.text
    if not taken:
        assert response.json()["error"]["param"] in (name, "messages", "prompt")


@pytest.mark.parametrize("path", BASES)
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_at_their_edges(client: TestClient, path: str, name: str) -> None:
    low, high = NUMBERS[name]
    for value in (low, high, (low + high) / 2):
        assert client.post(f"/v1/{path}", json={**BASES[path], name: value}).status_code == 200
    for value in (low - 0.001, high + 0.001, -(10**400), 10**400, 2**63):
        assert refused(client, path, {**BASES[path], name: value})["param"] == name
    for text in ("NaN", "Infinity", "-Infinity", "1e999"):
        body = json.dumps({**BASES[path], name: 7777}).replace("7777", text)
        assert client.post(f"/v1/{path}", content=body).status_code == 400


@pytest.mark.parametrize("path", BASES)
@pytest.mark.parametrize("name", [*NUMBERS, "n", "seed", "max_tokens", "top_k"])
def test_fields_of_another_type(client: TestClient, path: str, name: str) -> None:
    wrong = [value for value in WRONG_TYPES if not (name in NUMBERS and value == 1.5)]
    for value in wrong:
        assert refused(client, path, {**BASES[path], name: value})["param"] == name


@pytest.mark.parametrize("path", BASES)
@pytest.mark.parametrize("name", ["stream", "ignore_eos"])
def test_flags_of_another_type(client: TestClient, path: str, name: str) -> None:
    wrong: tuple[object, ...] = (0, 1, "true", [], {})
    for value in wrong:
        assert refused(client, path, {**BASES[path], name: value})["param"] == name


@pytest.mark.parametrize("name", ["temperature", "n", "stop", "stream", "seed", "logit_bias", "max_tokens", "user"])
def test_null_means_absent(client: TestClient, name: str) -> None:
    plain = client.post("/v1/chat/completions", json=CHAT).json()
    assert client.post("/v1/chat/completions", json={**CHAT, name: None}).json()["choices"] == plain["choices"]


@pytest.mark.parametrize("stop", [[], ["a"] * 5, "", [""], ["a", ""], "x" * 1025, 5, [5], [None], {"a": 1}])
def test_stops(client: TestClient, stop: object) -> None:
    assert refused(client, "chat/completions", {**CHAT, "stop": stop})["param"] == "stop"


@pytest.mark.parametrize(
    "biases",
    [
        [], "x", {"a": 1}, {"-1": 1}, {"1.5": 1}, {"260": 1}, {"9" * 30: 1}, {"²": 1}, {"65": 101}, {"65": "1"},
        {"65": True}, {"65": None}, {"65": 1e999}, {str(number): 1 for number in range(1025)},
    ],
)  # fmt: skip
def test_logit_biases(client: TestClient, biases: object) -> None:
    assert refused(client, "chat/completions", {**CHAT, "logit_bias": biases})["param"] in ("logit_bias", None)


@pytest.mark.parametrize("token_ids", [[-1], [260], [2**63], ["1"], [1.0], 5, [True], [1] * 65])
def test_stop_token_ids(client: TestClient, token_ids: object) -> None:
    parameter = refused(client, "completions", {**COMPLETION, "stop_token_ids": token_ids})["param"]
    assert parameter is not None
    assert parameter.startswith("stop_token_ids")


@pytest.mark.parametrize(
    "prompt",
    [
        [], [[]], [-1], [260], [2**31], [2**63], [1, "a"], ["a", 1], [[1], "a"], [[1], []], [1.5], [True], [None], 5,
        {"a": 1}, ["a"] * 33, [[1]] * 33, [[[1]]], [[-1]],
    ],
)  # fmt: skip
def test_prompts(client: TestClient, prompt: object) -> None:
    assert refused(client, "completions", {**COMPLETION, "prompt": prompt})["param"] == "prompt"


@pytest.mark.parametrize("name", ["model", "prompt"])
def test_required_fields_of_completions(client: TestClient, name: str) -> None:
    for body in ({**COMPLETION, name: None}, {key: value for key, value in COMPLETION.items() if key != name}):
        error = refused(client, "completions", body)
        assert (error["param"], error["code"]) == (name, "missing_required_parameter")


@pytest.mark.parametrize("name", ["model", "messages"])
def test_required_fields_of_chat(client: TestClient, name: str) -> None:
    for body in ({**CHAT, name: None}, {key: value for key, value in CHAT.items() if key != name}):
        error = refused(client, "chat/completions", body)
        assert (error["param"], error["code"]) == (name, "missing_required_parameter")


@pytest.mark.parametrize(
    ("messages", "parameter"),
    [
        ([], "messages"),
        ("hi", "messages"),
        ({}, "messages"),
        ([5], "messages[0]"),
        ([{}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": []}], "messages[0].content"),
        ([{"role": "user", "content": ["a"]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "text", "text": "a", "x": 1}]}], "messages[0].content[0].x"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": 5}]}], "messages[0].content[0].type"),
        ([{"role": "robot", "content": "a"}], "messages[0].role"),
        ([{"role": ["user"], "content": "a"}], "messages[0].role"),
        ([{"role": "function", "name": "f", "content": "a"}], "messages[0].role"),
        ([{"role": "tool", "content": "a"}], "messages[0].tool_call_id"),
        ([{"role": "tool", "content": "a", "tool_call_id": "1"}], "messages[0].tool_call_id"),
        ([{"role": "user", "content": "a", "tool_call_id": "1"}], "messages[0].tool_call_id"),
        ([{"role": "user", "content": "a", "tool_calls": [CALL]}], "messages[0].tool_calls"),
        ([{"role": "user", "content": "a", "reasoning_content": "b"}], "messages[0].reasoning_content"),
        ([{"role": "assistant", "content": "a", "reasoning_content": "b"}], "messages[0].reasoning_content"),
        ([{"role": "assistant", "content": "a", "reasoning_content": 1}], "messages[0].reasoning_content"),
        ([{"role": "assistant", "tool_calls": []}], "messages[0].content"),
        ([{"role": "assistant", "tool_calls": {}}], "messages[0].tool_calls"),
        ([{"role": "assistant", "tool_calls": [1]}], "messages[0].tool_calls[0]"),
        ([{"role": "assistant", "tool_calls": [{}]}], "messages[0].tool_calls[0].id"),
        ([{"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}], "messages[0].tool_calls[0].type"),
        ([{"role": "assistant", "tool_calls": [{**CALL, "x": 1}]}], "messages[0].tool_calls[0].x"),
        ([{"role": "assistant", "tool_calls": [{"id": "1"}]}], "messages[0].tool_calls[0].function"),
        ([{"role": "assistant", "tool_calls": [called("a b", "{}")]}], "messages[0].tool_calls[0].function.name"),
        ([{"role": "assistant", "tool_calls": [called("f", {})]}], "messages[0].tool_calls[0].function.arguments"),
        ([{"role": "assistant", "tool_calls": [called("f", "[]")]}], "messages[0].tool_calls[0].function.arguments"),
        ([{"role": "assistant", "tool_calls": [called("f", '{"a": NaN}')]}],
         "messages[0].tool_calls[0].function.arguments"),
        ([{"role": "assistant", "tool_calls": [CALL]}], "messages[0].tool_calls"),
        ([{"role": "assistant", "content": "a", "refusal": "no"}], "messages[0].refusal"),
        ([{"role": "assistant", "content": "a", "audio": {"id": "1"}}], "messages[0].audio"),
        ([{"role": "user", "content": "a", "name": 5}], "messages[0].name"),
        ([{"role": "user", "content": "a", "name": "Ada"}], "messages[0].name"),
        ([{"role": "user", "content": "a", "contents": "b"}], "messages[0].contents"),
    ],
)  # fmt: skip
def test_messages(client: TestClient, messages: object, parameter: str) -> None:
    assert refused(client, "chat/completions", {**CHAT, "messages": messages})["param"] == parameter


def test_messages_that_the_template_rejects(client: TestClient) -> None:
    error = refused(client, "chat/completions", {**CHAT, "messages": [{"role": "user", "content": "reject me"}]})
    assert error["code"] == "template_error"
    assert "must alternate" in (error["message"] or "")


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x"),
        ({"stream": True, "stream_options": []}, "stream_options"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": 1}, "logprobs"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"safety_identifier": "x" * 65}, "safety_identifier"),
    ],
)
def test_chat_fields_that_contradict_each_other(client: TestClient, body: dict[str, Any], parameter: str) -> None:
    assert refused(client, "chat/completions", {**CHAT, **body})["param"] == parameter


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"best_of": 2}, "best_of"),
        ({"best_of": 0}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"prompt": ["a"] * 5, "n": 8}, "prompt"),
    ],
)
def test_completion_fields_that_contradict_each_other(client: TestClient, body: dict[str, Any], parameter: str) -> None:
    assert refused(client, "completions", {**COMPLETION, **body})["param"] == parameter


@pytest.mark.parametrize("path", BASES)
@pytest.mark.parametrize("body", ['"text"', "[]", "42", "null", "true", "1.5"])
def test_bodies_that_are_no_object(client: TestClient, path: str, body: str) -> None:
    response = client.post(f"/v1/{path}", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_type"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "line 1 column 1"),
        (b"{", "line 1 column 2"),
        (b'{"a": 1,\n "b" 2}', "line 2 column 6"),
        (b'{"model": "fake"} x', "line 1 column 19"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b"[" * 200_000, "nested"),
        (b'{"a":' * 200_000, "nested"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'{"a": "\x00"}', "line 1"),
        (b'{"n": 1, "n": 2}', "twice"),
        (b'{"messages": [{"role": "user", "role": "system"}]}', "twice"),
    ],
)
def test_broken_json(client: TestClient, body: bytes, says: str) -> None:
    response = client.post("/v1/chat/completions", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_json"
    assert says in response.json()["error"]["message"]


def test_paired_surrogate_escapes_are_text(client: TestClient) -> None:
    body = b'{"model": "fake", "messages": [{"role": "user", "content": "\\ud83d\\ude42"}]}'
    assert client.post("/v1/chat/completions", content=body).json()["usage"]["prompt_tokens"] == 22


def test_a_key_that_is_there_very_often_is_found_quickly(client: TestClient) -> None:
    pairs = ",".join(f'"k{number % 50_000}":0' for number in range(100_000))
    response = client.post("/v1/chat/completions", content=f"{{{pairs}}}")
    assert response.status_code == 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4),
    max_leaves=10,
)
field_names = st.sampled_from(
    [
        "model", "messages", "prompt", "n", "stop", "stream", "stream_options", "seed", "max_tokens", "temperature",
        "top_p", "logprobs", "top_logprobs", "logit_bias", "user", "metadata", "tools", "tool_choice", "echo",
        "response_format", "stop_token_ids", "top_k", "best_of", "suffix", "store", "service_tier",
    ]
)  # fmt: skip


@pytest.mark.parametrize("path", BASES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(field_names, json_values, max_size=4))
def test_no_body_whatever_is_a_fault_of_the_server(client: TestClient, path: str, changes: dict[str, Any]) -> None:
    response = client.post(f"/v1/{path}", content=json.dumps({**BASES[path], **changes}))
    assert response.status_code in (200, 400, 404)
    if response.status_code != 200:
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
