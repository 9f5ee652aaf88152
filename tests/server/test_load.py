"""Overload, disconnects and long prompts: nothing is lost and nobody else has to wait."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from tests.server.fake_engine import FakeModel
from tests.server.live import Live, eventually, running
from tests.server.raw import raw_request, send_and_drop

CHAT: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


def test_what_has_no_permit_is_refused_before_any_work() -> None:
    small = FakeModel(permits=4)
    small.template.delay = 0.2
    with running({"fake": small}) as live, httpx2.Client(base_url=live.url, timeout=30) as client:
        small.engine.gate.clear()
        answers: list[httpx2.Response] = []
        lock = threading.Lock()

        def ask(_: int) -> float:
            started = monotonic()
            answer = client.post("/chat/completions", json=CHAT)
            with lock:
                answers.append(answer)
            return monotonic() - started

        with ThreadPoolExecutor(24) as pool:
            waits = [pool.submit(ask, number) for number in range(24)]
            eventually(lambda: len(answers) == 20)
            refused = list(answers)
            small.engine.gate.set()
            assert all(wait.result() < 30 for wait in waits)
    small.close()
    assert {answer.status_code for answer in refused} == {429}
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * 20
    for answer in refused:
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["code"] == "overloaded"
    # Rendering takes 0.2 s here; those who were refused never came to it.
    assert len(small.engine.submitted) == 4


def test_more_answers_than_permits_is_a_400() -> None:
    small = FakeModel(permits=2)
    with running({"fake": small}) as live:
        answer = httpx2.post(f"{live.url}/chat/completions", json={**CHAT, "n": 3})
    small.close()
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "n"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("stalled", [False, True], ids=["decoding", "waiting"])
def test_a_client_that_leaves_frees_everything_within_a_second(
    live: Live, model: FakeModel, stream: bool, stalled: bool
) -> None:
    endless = {**CHAT, "stream": stream, "ignore_eos": True, "max_tokens": 2000, "n": 2}
    if stalled:
        model.engine.gate.clear()
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection:
        connection.sendall(raw_request("chat/completions", endless))
        eventually(lambda: model.engine.stats().running > 0)
    assert eventually(lambda: model.engine.stats().running == 0) < 1.0
    assert model.engine.admission.taken == 0
    model.engine.gate.set()


def test_a_thousand_connections_dropped_lose_nothing(live: Live, model: FakeModel) -> None:
    model.engine.pace = 0.005
    bodies = [
        ("chat/completions", {**CHAT, "stream": True, "max_tokens": 400, "ignore_eos": True}),
        ("chat/completions", {**CHAT, "max_tokens": 400, "ignore_eos": True, "n": 2}),
        ("completions", {"model": "fake", "prompt": ["a", "b"], "stream": True, "max_tokens": 300, "ignore_eos": True}),
        ("completions", {"model": "fake", "prompt": "a", "max_tokens": 5}),
    ]
    requests = [raw_request(path, body) for path, body in bodies]

    def drop(number: int) -> None:
        request = requests[number % 4]
        streamed = number % 2 == 0
        cut = request[: len(request) // 2] if number % 7 == 0 else request
        send_and_drop(
            live.port, cut, wait_for_bytes=streamed and cut is request and number % 3 == 0, reset=number % 5 == 0
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(drop, range(1000)))
    eventually(lambda: model.engine.stats().running == 0 and model.engine.admission.taken == 0, seconds=10)
    assert model.engine.stats().blocks_used == 0
    with OpenAI(base_url=live.url, api_key="none", max_retries=0) as client:
        assert client.chat.completions.create(**CHAT).choices[0].message.content
    eventually(lambda: live.server.lifecycle.in_flight == 0)


def test_long_prompts_do_not_hold_up_the_event_loop(live: Live, model: FakeModel) -> None:
    model.template.delay = 1.5
    long = {**CHAT, "messages": [{"role": "user", "content": "x" * 1_000_000}]}
    with ThreadPoolExecutor(4) as pool, httpx2.Client(base_url=live.url, timeout=30) as client:
        asking = [pool.submit(client.post, "/chat/completions", json=long) for _ in range(4)]
        slowest = 0.0
        while not all(answer.done() for answer in asking):
            started = monotonic()
            assert client.get(f"http://127.0.0.1:{live.port}/healthz").status_code == 200
            slowest = max(slowest, monotonic() - started)
    assert {answer.result().status_code for answer in asking} == {400}
    assert slowest < 1.0  # on the loop, one prompt alone would have taken longer
