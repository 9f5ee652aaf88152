from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.server.fake_engine import BOS, FakeModel

BASE: dict[str, Any] = {"model": "fake", "prompt": "Once"}
URL = "/v1/completions"


def events(client: TestClient, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream, which has to end with [DONE]."""
    response = client.post(URL, json={**body, "stream": True})
    assert response.status_code == 200
    *blocks, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def test_shape_of_a_whole_answer(client: TestClient) -> None:
    answer = client.post(URL, json=BASE).json()
    assert set(answer) == {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"}
    assert answer["id"].startswith("cmpl-")
    assert answer["object"] == "text_completion"
    (choice,) = answer["choices"]
    assert set(choice) == {"index", "text", "logprobs", "finish_reason"}
    assert (choice["finish_reason"], choice["logprobs"]) == ("length", None)
    assert answer["usage"]["completion_tokens"] == 16  # what OpenAI's API says where max_tokens is left out


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("ab", [(BOS, 97, 98)]),
        (["ab", "c"], [(BOS, 97, 98), (BOS, 99)]),
        ([1, 2, 259], [(1, 2, 259)]),
        ([[1], [2, 3]], [(1,), (2, 3)]),
        ("", [(BOS,)]),
    ],
)
def test_the_four_forms_of_a_prompt(
    client: TestClient, model: FakeModel, prompt: object, expected: list[tuple[int, ...]]
) -> None:
    answer = client.post(URL, json={**BASE, "prompt": prompt}).json()
    assert [request.prompt for request in model.engine.submitted] == expected
    assert [choice["index"] for choice in answer["choices"]] == list(range(len(expected)))
    assert answer["usage"]["prompt_tokens"] == sum(map(len, expected))


def test_answers_to_several_prompts_are_those_to_each_alone(client: TestClient) -> None:
    together = client.post(URL, json={**BASE, "prompt": ["a", "b"], "n": 2, "seed": 3, "temperature": 1}).json()
    for number, prompt in enumerate(["a", "b"]):
        alone = client.post(URL, json={**BASE, "prompt": prompt, "n": 2, "seed": 3, "temperature": 1}).json()
        texts = [choice["text"] for choice in together["choices"][2 * number : 2 * number + 2]]
        assert [choice["text"] for choice in alone["choices"]] == texts


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": 60},
        {"max_tokens": 60, "logprobs": 5},
        {"max_tokens": 60, "logprobs": 0, "stop": ["é", "🙂"]},
        {"max_tokens": 60, "echo": True, "n": 2},
        {"max_tokens": 60, "prompt": ["a", "b"], "n": 2, "temperature": 1, "seed": 5, "logprobs": 1},
    ],
)
def test_a_stream_adds_up_to_the_whole_answer(client: TestClient, options: dict[str, Any]) -> None:
    whole = client.post(URL, json={**BASE, **options}).json()
    chunks = events(client, {**BASE, **options, "stream_options": {"include_usage": True}})
    for expected in whole["choices"]:
        parts = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == expected["index"]]
        assert "".join(part["text"] for part in parts) == expected["text"]
        assert [part["finish_reason"] for part in parts if part["finish_reason"]] == [expected["finish_reason"]]
        for name, column in (expected["logprobs"] or {}).items():
            assert [value for part in parts if part["logprobs"] for value in part["logprobs"][name]] == column
    assert chunks[-1]["usage"] == whole["usage"]


def test_logprobs_come_in_columns(client: TestClient) -> None:
    choice = client.post(URL, json={**BASE, "max_tokens": 90, "logprobs": 3}).json()["choices"][0]
    columns = choice["logprobs"]
    assert set(columns) == {"tokens", "token_logprobs", "top_logprobs", "text_offset"}
    assert len({len(column) for column in columns.values()}) == 1
    for token, logprob, top, offset in zip(*(columns[name] for name in columns), strict=True):
        assert top[token] == logprob
        assert len(top) <= 4
        if token.startswith("bytes:"):
            assert not choice["text"][offset].isascii()
        else:
            assert choice["text"][offset : offset + len(token)] == token


def test_a_token_that_is_part_of_a_character_is_spelled_in_bytes(client: TestClient) -> None:
    columns = client.post(URL, json={**BASE, "max_tokens": 200, "logprobs": 0}).json()["choices"][0]["logprobs"]
    partial = [token for token in columns["tokens"] if token.startswith("bytes:")]
    assert partial
    assert all(len(token) == len("bytes:\\xff") for token in partial)


def test_an_echo_begins_with_the_prompt_as_it_was_sent(client: TestClient) -> None:
    plain = client.post(URL, json=BASE).json()
    echoed = client.post(URL, json={**BASE, "echo": True}).json()
    assert echoed["choices"][0]["text"] == "Once" + plain["choices"][0]["text"]
    assert echoed["usage"] == plain["usage"]
    ids = client.post(URL, json={**BASE, "prompt": [79, 110], "echo": True}).json()
    assert ids["choices"][0]["text"].startswith("On")


def test_best_of_as_many_as_answers_is_no_choice(client: TestClient) -> None:
    plain = client.post(URL, json={**BASE, "n": 2}).json()
    assert client.post(URL, json={**BASE, "n": 2, "best_of": 2}).json()["choices"] == plain["choices"]


def test_the_default_length_gives_way_to_the_context(client: TestClient, model: FakeModel) -> None:
    context = model.engine.context_length
    answer = client.post(URL, json={**BASE, "prompt": [65] * (context - 3)}).json()
    assert answer["usage"]["completion_tokens"] == 3
    error = client.post(URL, json={**BASE, "prompt": [65] * (context - 3), "max_tokens": 4}).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "prompt")
    error = client.post(URL, json={**BASE, "prompt": ["a", "x" * context]}).json()["error"]
    assert error["code"] == "context_length_exceeded"
