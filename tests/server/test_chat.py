from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from freehold.server.app import create_app
from freehold.server.openai.sampling import choice_seed
from tests.server.fake_engine import FakeModel

BASE: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
URL = "/v1/chat/completions"


def events(client: TestClient, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream, which has to end with [DONE]."""
    response = client.post(URL, json={**body, "stream": True})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *blocks, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def test_shape_of_a_whole_answer(client: TestClient) -> None:
    answer = client.post(URL, json=BASE).json()
    assert set(answer) == {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"}
    assert answer["id"].startswith("chatcmpl-")
    assert answer["object"] == "chat.completion"
    (choice,) = answer["choices"]
    assert set(choice) == {"index", "message", "logprobs", "finish_reason"}
    assert set(choice["message"]) == {"role", "content", "refusal"}
    assert choice["logprobs"] is None
    assert answer["usage"] == {
        "prompt_tokens": 20,
        "completion_tokens": answer["usage"]["completion_tokens"],
        "total_tokens": 20 + answer["usage"]["completion_tokens"],
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def test_shape_of_a_stream(client: TestClient) -> None:
    chunks = events(client, {**BASE, "stream_options": {"include_usage": True}})
    assert len({(chunk["id"], chunk["created"], chunk["object"]) for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]][-2:] == [None, "stop"]
    assert chunks[-2]["choices"][0]["delta"] == {}
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == client.post(URL, json=BASE).json()["usage"]


def test_a_stream_without_usage_says_nothing_of_it(client: TestClient) -> None:
    assert all("usage" not in chunk for chunk in events(client, BASE))


def test_streams_are_ascii_as_some_clients_split_lines_at_other_line_ends(client: TestClient) -> None:
    response = client.post(URL, json={**BASE, "stream": True, "max_tokens": 100})
    assert not client.post(URL, json={**BASE, "max_tokens": 100}).text.isascii()
    assert response.text.isascii()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"logprobs": True},
        {"logprobs": True, "top_logprobs": 20},
        {"stop": ["café", "日本"]},
        {"stop": "naïve c", "logprobs": True, "top_logprobs": 1},
        {"max_tokens": 5},
        {"max_tokens": 7, "logprobs": True},  # ends in the middle of a character
        {"n": 3, "temperature": 1, "seed": 7, "logprobs": True},
        {"max_completion_tokens": 100, "ignore_eos": True},
    ],
)
def test_a_stream_adds_up_to_the_whole_answer(client: TestClient, options: dict[str, Any]) -> None:
    whole = client.post(URL, json={**BASE, **options}).json()
    chunks = events(client, {**BASE, **options, "stream_options": {"include_usage": True}})
    for expected in whole["choices"]:
        parts = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == expected["index"]]
        assert "".join(part["delta"].get("content", "") for part in parts) == expected["message"]["content"]
        assert [part["finish_reason"] for part in parts if part["finish_reason"]] == [expected["finish_reason"]]
        entries = [entry for part in parts if part["logprobs"] for entry in part["logprobs"]["content"]]
        assert entries == ((expected["logprobs"] or {}).get("content") or [])
    assert chunks[-1]["usage"] == whole["usage"]


def test_logprobs_spell_tokens_as_text_and_bytes(client: TestClient) -> None:
    answer = client.post(URL, json={**BASE, "logprobs": True, "top_logprobs": 2, "max_tokens": 100}).json()
    choice = answer["choices"][0]
    entries = choice["logprobs"]["content"]
    assert bytes(byte for entry in entries for byte in entry["bytes"]).decode() == choice["message"]["content"]
    for entry in entries:
        assert set(entry) == {"token", "logprob", "bytes", "top_logprobs"}
        assert [set(top) for top in entry["top_logprobs"]] == [{"token", "logprob", "bytes"}] * 2
        assert entry["top_logprobs"][0]["token"] == entry["token"] == bytes(entry["bytes"]).decode("utf-8", "replace")


def test_a_prompt_counts_once_however_many_answers_it_gets(client: TestClient) -> None:
    one = client.post(URL, json=BASE).json()["usage"]
    three = client.post(URL, json={**BASE, "n": 3}).json()["usage"]
    assert three["prompt_tokens"] == one["prompt_tokens"]
    assert three["completion_tokens"] == 3 * one["completion_tokens"]


def test_several_answers_are_drawn_from_seeds_of_their_own(client: TestClient, model: FakeModel) -> None:
    body = {**BASE, "n": 4, "temperature": 1, "seed": 11}
    texts = [choice["message"]["content"] for choice in client.post(URL, json=body).json()["choices"]]
    assert len(set(texts)) == 4
    assert [choice["message"]["content"] for choice in client.post(URL, json=body).json()["choices"]] == texts
    alone = client.post(URL, json={**body, "n": 1}).json()["choices"][0]["message"]["content"]
    assert alone == texts[0]
    seeds = [request.sampling.seed for request in model.engine.submitted[:4]]
    assert seeds == [choice_seed(11, number) for number in range(4)]
    assert all(seed is not None and -(2**63) <= seed < 2**63 for seed in seeds)


def test_without_a_seed_the_engine_draws_one(client: TestClient, model: FakeModel) -> None:
    client.post(URL, json={**BASE, "n": 2, "temperature": 1})
    assert [request.sampling.seed for request in model.engine.submitted] == [None, None]


def test_developers_speak_as_the_system_and_parts_join(client: TestClient, model: FakeModel) -> None:
    parts = [{"type": "text", "text": "be "}, {"type": "text", "text": "brief"}]
    messages = [
        {"role": "developer", "content": parts},
        {"role": "user", "content": "hi"},
        # An answer as OpenAI's client sends it back.
        {"role": "assistant", "content": "hello", "refusal": None, "annotations": [], "tool_calls": None},
        {"role": "user", "content": ""},
    ]
    assert client.post(URL, json={**BASE, "messages": messages}).status_code == 200
    prompt = bytes(model.engine.submitted[-1].prompt).decode()
    assert prompt == "system: be brief\nuser: hi\nassistant: hello\nuser: \nassistant: "


def test_an_alias_is_answered_by_its_model(client: TestClient) -> None:
    answer = client.post(URL, json={**BASE, "model": "gpt-4o-mini"}).json()
    assert answer["model"] == "fake"
    assert answer["choices"] == client.post(URL, json=BASE).json()["choices"]


@pytest.fixture
def naming() -> Iterator[FakeModel]:
    model = FakeModel(shows_names=True)
    yield model
    model.close()


def test_names_are_honoured_where_the_template_has_a_place_for_them(naming: FakeModel) -> None:
    app = create_app({"fake": naming})
    with TestClient(app, base_url="http://localhost") as client:
        messages = [{"role": "user", "name": "Ada", "content": "hi"}]
        assert client.post(URL, json={**BASE, "messages": messages}).status_code == 200
    assert bytes(naming.engine.submitted[-1].prompt) == b"userAda: hi\nassistant: "


def test_the_context_is_served_to_its_edge_and_no_further(client: TestClient, model: FakeModel) -> None:
    context = model.engine.context_length
    fits = {**BASE, "messages": [{"role": "user", "content": "x" * (context - 18 - 1)}]}
    answer = client.post(URL, json=fits).json()
    assert answer["usage"]["total_tokens"] == context
    assert answer["choices"][0]["finish_reason"] == "length"
    too_long = {**BASE, "messages": [{"role": "user", "content": "x" * (context - 18)}]}
    error = client.post(URL, json=too_long)
    assert error.status_code == 400
    assert error.json()["error"]["code"] == "context_length_exceeded"
    assert error.json()["error"]["param"] == "messages"
    assert str(context) in error.json()["error"]["message"]


def test_prompt_and_answer_share_the_context(client: TestClient, model: FakeModel) -> None:
    context = model.engine.context_length
    assert client.post(URL, json={**BASE, "max_tokens": context - 20}).status_code == 200
    error = client.post(URL, json={**BASE, "max_tokens": context - 19}).json()["error"]
    assert error["code"] == "context_length_exceeded"
    for count in (context, 20, context - 19):
        assert str(count) in error["message"]
