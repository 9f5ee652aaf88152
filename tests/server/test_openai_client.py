"""OpenAI's own client against a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai as sdk
import pytest
from openai import OpenAI

from tests.server.fake_engine import FakeModel
from tests.server.live import Live, eventually

HELLO: Any = [{"role": "user", "content": "hello"}]


def folded(chunks: Iterable[Any]) -> tuple[str, str | None, list[Any], Any]:
    """Text, finish reason, log-probabilities and usage of a streamed chat."""
    text, reason, usage = "", None, None
    entries: list[Any] = []
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
            entries += choice.logprobs.content if choice.logprobs else []
    return text, reason, entries, usage


def test_chat(openai: OpenAI) -> None:
    answer = openai.chat.completions.create(model="fake", messages=HELLO)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len("user: hello\nassistant: ")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model == "fake"


def test_streamed_chat_equals_whole_chat(openai: OpenAI) -> None:
    whole = openai.chat.completions.create(model="fake", messages=HELLO, logprobs=True, top_logprobs=2, stop="café")
    stream = openai.chat.completions.create(
        model="fake", messages=HELLO, logprobs=True, top_logprobs=2, stop="café", stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    choice = whole.choices[0]
    assert choice.logprobs is not None
    assert folded(stream) == (choice.message.content, choice.finish_reason, choice.logprobs.content, whole.usage)


def test_completion_streamed_and_whole(openai: OpenAI) -> None:
    whole = openai.completions.create(model="fake", prompt=["a", "b"], max_tokens=20, n=2)
    texts = ["", "", "", ""]
    for chunk in openai.completions.create(model="fake", prompt=["a", "b"], max_tokens=20, n=2, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [choice.text for choice in whole.choices]
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]


def test_models(openai: OpenAI) -> None:
    assert [model.id for model in openai.models.list()] == ["fake"]
    assert openai.models.retrieve("fake").owned_by == "freehold"


def test_errors_have_the_fields_that_the_client_shows(openai: OpenAI) -> None:
    with pytest.raises(sdk.NotFoundError) as absent:
        openai.chat.completions.create(model="fakir", messages=HELLO)
    assert absent.value.code == "model_not_found"
    assert absent.value.param == "model"
    assert "fake" in absent.value.message
    with pytest.raises(sdk.BadRequestError) as refused:
        openai.chat.completions.create(model="fake", messages=HELLO, reasoning_effort="high")
    assert refused.value.param == "reasoning_effort"
    assert refused.value.type == "invalid_request_error"


def test_fields_beyond_openai_are_honoured_through_extra_body(openai: OpenAI, model: FakeModel) -> None:
    extra = {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.2, "stop_token_ids": [32], "ignore_eos": True}
    answer = openai.chat.completions.create(model="fake", messages=HELLO, extra_body=extra)
    assert answer.choices[0].finish_reason == "stop"
    request = model.engine.submitted[-1]
    assert (request.sampling.top_k, request.sampling.min_p, request.sampling.repetition_penalty) == (5, 0.1, 1.2)
    assert (request.stop.token_ids, request.stop.ignore_eos) == ((32,), True)


def test_sixteen_at_once_answer_as_one_alone(openai: OpenAI) -> None:
    def ask(number: int) -> str | None:
        question: Any = [{"role": "user", "content": f"question {number % 4}"}]
        return openai.chat.completions.create(model="fake", messages=question).choices[0].message.content

    alone = [ask(number) for number in range(4)]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(16))) == alone * 4


def test_a_failure_in_the_middle_of_a_stream_raises_in_the_client(openai: OpenAI, model: FakeModel) -> None:
    model.engine.gate.clear()
    stream = openai.chat.completions.create(model="fake", messages=HELLO, stream=True)
    assert next(iter(stream)).choices[0].delta.role == "assistant"
    model.engine.fails.set()
    with pytest.raises(sdk.APIError) as error:
        list(stream)
    assert error.value.code == "internal_error"
    assert "0x7f" not in str(error.value)


def test_a_stream_dropped_in_the_middle_frees_everything_at_once(openai: OpenAI, live: Live, model: FakeModel) -> None:
    stream = openai.chat.completions.create(
        model="fake", messages=HELLO, stream=True, extra_body={"ignore_eos": True}, max_tokens=1900
    )
    model.engine.gate.clear()
    next(iter(stream))
    assert model.engine.stats().running == 1
    stream.close()
    assert eventually(lambda: model.engine.stats().running == 0) < 1.0
    assert model.engine.admission.taken == 0
    assert model.engine.stats().blocks_used == 0


def test_a_client_that_times_out_on_a_whole_answer_frees_everything(live: Live, model: FakeModel) -> None:
    model.engine.gate.clear()
    with OpenAI(base_url=live.url, api_key="none", max_retries=0, timeout=0.2) as impatient:
        with pytest.raises(sdk.APITimeoutError):
            impatient.chat.completions.create(model="fake", messages=HELLO, n=3)
        assert len(model.engine.submitted) == 3
        eventually(lambda: model.engine.stats().running == 0, seconds=1.0)
    model.engine.gate.set()
    assert model.engine.admission.taken == 0


def test_retries_after_an_overload_succeed(live: Live, model: FakeModel) -> None:
    capacity = model.engine.admission.capacity
    permit = model.engine.admission.try_acquire(capacity)
    with OpenAI(base_url=live.url, api_key="none", max_retries=0) as client, pytest.raises(sdk.RateLimitError):
        client.chat.completions.create(model="fake", messages=HELLO)
    releasing = threading.Timer(0.3, permit.release)
    releasing.start()
    with OpenAI(base_url=live.url, api_key="none", max_retries=2) as client:
        assert client.chat.completions.create(model="fake", messages=HELLO).choices[0].message.content
    releasing.join()
