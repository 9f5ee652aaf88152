"""The real engine behind the server, asked by OpenAI's own client."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai as sdk
import pytest
from openai import OpenAI

import freehold
from freehold.api import Model
from freehold.engine.types import EngineOptions
from freehold.errors import InvalidRequest
from freehold.generation import to_request
from freehold.text.detokeniser import CONTROL_MARK
from tests.server.fake_engine import BOS
from tests.server.live import Live, eventually, running
from tests.server.raw import raw_request, send_and_drop
from tests.server.test_openai_client import folded
from tests.server.tiny_model import tiny_model
from tests.support.assets import asset
from tests.support.llama2c import write_folder

HELLO: Any = [{"role": "user", "content": "hello"}]
STORY = "weights/stories260K"


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with tiny_model() as model, running({"tiny": model}) as live:
        yield live


@pytest.fixture
def openai(live: Live) -> Iterator[OpenAI]:
    with OpenAI(base_url=live.url, api_key="none", max_retries=0) as client:
        yield client


def engine_is_empty(live: Live) -> bool:
    engine = live.server.catalogue.find("tiny").engine
    stats = engine.stats()
    return stats.running == stats.waiting == stats.blocks_used == engine.admission.taken == 0


def assert_no_block_is_lost(live: Live) -> None:
    eventually(lambda: engine_is_empty(live), seconds=10)
    stats = live.server.catalogue.find("tiny").engine.stats()
    assert stats.blocks_free + stats.blocks_cached == stats.blocks_total


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0},
        {"temperature": 0.9, "seed": 3, "n": 2, "logprobs": True, "top_logprobs": 3},
        {"temperature": 1.2, "seed": 4, "logprobs": True, "stop": ["a", "\u00e9"], "frequency_penalty": 0.5},
        {"temperature": 1, "seed": 5, "logit_bias": {"65": 5}, "extra_body": {"top_k": 20, "min_p": 0.05}},
    ],
)
def test_a_stream_adds_up_to_the_whole_answer(openai: OpenAI, options: dict[str, Any]) -> None:
    wish = {"model": "tiny", "messages": HELLO, "max_tokens": 60, **options}
    whole = openai.chat.completions.create(**wish)
    chunks = list(openai.chat.completions.create(**wish, stream=True, stream_options={"include_usage": True}))
    for choice in whole.choices:
        parts = [chunk for chunk in chunks if not chunk.choices or chunk.choices[0].index == choice.index]
        text, reason, entries, usage = folded(parts)
        assert (text, reason) == (choice.message.content, choice.finish_reason)
        assert entries == (choice.logprobs.content if choice.logprobs else [])
        # The second request finds the first one's prompt in the prefix cache; all other counts are equal.
        assert (usage.prompt_tokens, usage.completion_tokens) == (
            whole.usage.prompt_tokens,
            whole.usage.completion_tokens,
        )


def test_a_prompt_that_was_seen_before_is_reported_as_cached(openai: OpenAI) -> None:
    def ask() -> Any:
        return openai.completions.create(model="tiny", prompt="seen before? " * 10, max_tokens=5, temperature=0)

    first, second = ask(), ask()
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert 100 < second.usage.prompt_tokens_details.cached_tokens < second.usage.prompt_tokens
    assert second.choices[0].text == first.choices[0].text


def test_sixteen_at_once_answer_bit_for_bit_as_one_alone(openai: OpenAI) -> None:
    def ask(number: int) -> tuple[str | None, list[float]]:
        question: Any = [{"role": "user", "content": f"question {number % 8} " * (1 + number % 8)}]
        choice = openai.chat.completions.create(
            model="tiny", messages=question, temperature=0.8, seed=number % 8, logprobs=True, max_tokens=40
        ).choices[0]
        assert choice.logprobs is not None
        assert choice.logprobs.content is not None
        return choice.message.content, [entry.logprob for entry in choice.logprobs.content]

    alone = [ask(number) for number in range(8)]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(16))) == alone * 2


def test_a_stream_dropped_in_the_middle_frees_everything_within_a_second(openai: OpenAI, live: Live) -> None:
    stream = openai.completions.create(
        model="tiny", prompt="once", max_tokens=500, n=4, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    stream.close()
    assert eventually(lambda: engine_is_empty(live)) < 1.0
    assert_no_block_is_lost(live)


def test_a_thousand_connections_dropped_lose_no_block(openai: OpenAI, live: Live) -> None:
    wish: dict[str, Any] = {"model": "tiny", "ignore_eos": True, "max_tokens": 300, "temperature": 0}

    def before() -> str:
        return openai.completions.create(model="tiny", prompt="canary", temperature=0).choices[0].text

    canary = before()

    def drop(number: int) -> None:
        request = raw_request(
            "completions", {**wish, "prompt": f"prompt {number % 50} " * 4, "stream": number % 2 == 0}
        )
        send_and_drop(live.port, request, wait_for_bytes=number % 6 == 0, reset=number % 5 == 0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(drop, range(1000)))
    assert_no_block_is_lost(live)
    assert before() == canary


def test_the_context_is_served_to_its_edge(openai: OpenAI) -> None:
    def ask(prompt: int, answer: int) -> Any:
        body = {"ignore_eos": True}
        return openai.completions.create(model="tiny", prompt=[65] * prompt, max_tokens=answer, extra_body=body)

    assert ask(500, 12).usage.total_tokens == 512
    assert ask(511, 1).usage.total_tokens == 512
    for prompt, answer in ((500, 13), (511, 2), (512, 1), (5000, 1)):
        with pytest.raises(sdk.BadRequestError) as error:
            ask(prompt, answer)
        assert error.value.code == "context_length_exceeded"
        assert "512" in error.value.message
        assert str(prompt) in error.value.message


def test_a_cache_of_a_quarter_of_the_demand_still_completes_everything(openai: OpenAI) -> None:
    def ask(client: OpenAI, number: int) -> str:
        return client.completions.create(
            model="tiny", prompt=f"prompt {number}", max_tokens=60, temperature=0, extra_body={"ignore_eos": True}
        ).choices[0].text  # fmt: skip

    expected = [ask(openai, number) for number in range(8)]
    with (
        tiny_model(EngineOptions(cache_tokens=8 * 70 // 4)) as model,
        running({"tiny": model}) as small,
        OpenAI(base_url=small.url, api_key="none", max_retries=0) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        assert list(pool.map(lambda number: ask(client, number), range(8))) == expected
        assert model.engine.stats().preemptions > 0


def test_what_is_admitted_completes_and_the_rest_is_told_to_come_back() -> None:
    body = {"model": "tiny", "prompt": "x", "max_tokens": 150, "ignore_eos": True}
    with (
        tiny_model(EngineOptions(max_sequences=2, max_waiting=2)) as model,
        running({"tiny": model}) as live,
        httpx2.Client(base_url=live.url, timeout=60) as client,
    ):
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: client.post("/completions", json=body), range(16)))
        served = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(served) >= 4
        assert len(served) + len(refused) == 16
        assert {answer.json()["usage"]["completion_tokens"] for answer in served} == {150}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        eventually(lambda: model.engine.admission.taken == 0)


def test_a_connection_without_a_request_does_no_harm(openai: OpenAI, live: Live) -> None:
    with socket.create_connection(("127.0.0.1", live.port)):
        assert openai.models.retrieve("tiny").id == "tiny"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    weights = asset(STORY)
    folder = tmp_path_factory.mktemp("story") / "stories260K"
    write_folder(weights / "stories260K.bin", weights / "tok512.bin", folder)
    with freehold.load(folder) as model:
        yield model


def published_text() -> str:
    """What the model has to say, from its own description."""
    text = Path(asset(f"{STORY}/stories260K.md")).read_text(encoding="utf-8")
    return text[text.index("Once upon a time") :]


def test_a_trained_model_tells_its_published_story_over_http(story: Model) -> None:
    with running({"org/story": story}) as live, OpenAI(base_url=live.url, api_key="none") as client:
        stream = client.completions.create(
            model="org/story", prompt="Once upon a time", max_tokens=100, temperature=0, stream=True
        )
        text = "Once upon a time" + "".join(chunk.choices[0].text for chunk in stream)
        assert published_text().startswith(text)
        with pytest.raises(sdk.BadRequestError, match="use /v1/completions") as error:
            client.chat.completions.create(model="org/story", messages=HELLO)
        assert error.value.code == "no_chat_template"


@pytest.mark.parametrize(("shown", "text"), [((), ""), ((BOS,), f"{CONTROL_MARK}<bos>" * 3)])
def test_control_tokens_are_in_the_text_of_requests_that_ask_for_them(shown: tuple[int, ...], text: str) -> None:
    options = {"max_tokens": 3, "logit_bias": {BOS: 100.0}, "temperature": 0}
    with tiny_model() as model:
        request = to_request([65], options, model.recommended, shown=shown)  # type: ignore[arg-type]
        assert "".join(output.text for output in model.engine.stream(request)) == text


def test_the_python_api_refuses_tools_that_the_template_does_not_show() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}
    with tiny_model() as model, pytest.raises(InvalidRequest, match="no place for tools"):
        model.chat_events([{"role": "user", "content": "hi"}], tools=[tool])
