"""Health, metrics and the access log."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from freehold.server.app import assemble, begin
from freehold.server.lifecycle import Phase
from freehold.server.metrics import ALIASES, Metrics
from freehold.server.served import Catalogue
from freehold.server.settings import ServerSettings
from freehold.server.state import Server
from tests.server.fake_engine import FakeModel

CHAT = {"model": "fake", "messages": [{"role": "user", "content": "a very secret question"}]}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that has not loaded its model yet."""
    server = Server(ServerSettings(), Catalogue({}))
    yield server
    server.workers.close()


@pytest.fixture
def observed(server: Server) -> Iterator[FakeModel]:
    """A model whose engine tells the server of its times."""
    model = FakeModel(observer=server.metrics.observer("fake"))
    yield model
    model.close()


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_alive_ready_and_loading_are_different_answers(server: Server, observed: FakeModel) -> None:
    with TestClient(assemble(server), base_url="http://127.0.0.1") as client:
        for phase, status in ((Phase.LOADING, 503), (Phase.READY, 200), (Phase.DRAINING, 503)):
            if phase is Phase.READY:
                server.catalogue.fill({"fake": observed})
                begin(server)
            server.lifecycle.phase = phase
            assert client.get("/healthz").status_code == 200
            ready = client.get("/readyz")
            assert (ready.status_code, ready.json()) == (status, {"status": phase.value})
            answer = client.post("/v1/chat/completions", json=CHAT)
            assert answer.status_code == status
            if status == 503:
                assert answer.headers["retry-after"]
                assert answer.json()["error"]["code"] in ("loading", "shutting_down")


def test_metrics_count_what_happened(server: Server, observed: FakeModel) -> None:
    server.catalogue.fill({"fake": observed})
    begin(server)
    with TestClient(assemble(server), base_url="http://127.0.0.1") as client:
        usage = client.post("/v1/chat/completions", json={**CHAT, "max_tokens": 5}).json()["usage"]
        client.post("/v1/chat/completions", json={**CHAT, "n": -1})
        client.get("/some/path/1")
        client.get("/some/path/2")
        client.get("/v1/models/a/b")
        seen = samples(client.get("/metrics").text)
    fake = ("model_name", "fake")
    assert seen["freehold_prompt_tokens_total", frozenset([fake])] == usage["prompt_tokens"]
    assert seen["freehold_generated_tokens_total", frozenset([fake])] == 5
    assert seen["freehold_drafted_tokens_total", frozenset([fake, ("source", "lookup")])] == 3
    assert seen["freehold_accepted_tokens_total", frozenset([fake, ("source", "model")])] == 4
    assert seen["freehold_requests_finished_total", frozenset([fake, ("finished_reason", "length")])] == 1
    assert seen["freehold_time_to_first_token_seconds_count", frozenset([fake])] == 1
    assert seen["freehold_time_per_output_token_seconds_count", frozenset([fake])] == 4
    assert seen["freehold_requests_running", frozenset([fake])] == 0

    def requests(method: str, route: str, status: str) -> float:
        labels = {("method", method), ("route", route), ("status", status)}
        return seen["freehold_http_requests_total", frozenset(labels)]

    assert requests("POST", "/v1/chat/completions", "200") == 1
    assert requests("POST", "/v1/chat/completions", "400") == 1
    assert requests("GET", "other", "404") == 2
    assert requests("GET", "/v1/models/{name:path}", "404") == 1


def test_aliases_repeat_the_same_samples_under_vllms_names(server: Server, observed: FakeModel) -> None:
    server.catalogue.fill({"fake": observed})
    begin(server)
    with TestClient(assemble(server), base_url="http://127.0.0.1") as client:
        client.post("/v1/chat/completions", json=CHAT)
        seen = samples(client.get("/metrics").text)
    for ours, theirs in ALIASES.items():
        under_ours = {
            (name.removeprefix(ours), labels): value for (name, labels), value in seen.items() if ours in name
        }
        under_theirs = {
            (name.removeprefix(theirs), labels): value for (name, labels), value in seen.items() if theirs in name
        }
        assert under_ours
        assert under_theirs == under_ours
    assert ("vllm:num_requests_running", frozenset([("model_name", "fake")])) in seen


def test_applications_do_not_share_metrics() -> None:
    first, second = Metrics(), Metrics()
    first.rejections.labels("m").inc()
    assert b'freehold_admission_rejections_total{model_name="m"} 1.0' in first.render()
    assert b'model_name="m"' not in second.render()


def test_refusals_for_want_of_a_permit_are_counted(client: TestClient, model: FakeModel) -> None:
    with model.engine.admission.try_acquire(model.engine.admission.capacity):
        assert client.post("/v1/chat/completions", json=CHAT).status_code == 429
    assert 'freehold_admission_rejections_total{model_name="fake"} 1.0' in client.get("/metrics").text


def test_a_line_per_request_and_nothing_of_its_content(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="freehold")
    answer = client.post("/v1/chat/completions?key=hidden", json=CHAT)
    client.get("/v1/models/%0Ainjected")
    client.post("/v1/chat/completions", json={**CHAT, "model": "secret-model"})
    first, second, third = caplog.messages
    assert re.fullmatch(
        r"req-[0-9a-f]{16} POST /v1/chat/completions 200 \d+ms model=fake prompt=40 cached=0 completion=\d+", first
    )
    assert first.split()[0] == answer.headers["x-request-id"]
    assert second.endswith("ms")
    assert "/v1/models/%0Ainjected 404" in second
    assert "/v1/chat/completions 404" in third
    assert not re.search("secret|hidden", caplog.text)
    assert answer.json()["choices"][0]["message"]["content"] not in caplog.text
