"""Pages of other sites cannot use the server behind their visitors' backs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from starlette.testclient import TestClient

from freehold.server.app import create_app
from freehold.server.guards import host_name, is_loopback
from freehold.server.settings import ServerSettings
from tests.server.fake_engine import FakeModel

PATHS = ("/v1/models", "/healthz", "/readyz", "/metrics", "/nowhere")


@contextmanager
def serving(model: FakeModel, settings: ServerSettings) -> Iterator[TestClient]:
    app = create_app({"fake": model}, settings)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client
    app.state.server.workers.close()


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8000", True),
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("localhost.:8000", True),
        ("[::1]:8000", True),
        ("127.8.9.1", True),
        ("evil.test", False),
        ("evil.test:8000", False),
        ("localhost.evil.test", False),
        ("127.0.0.1.evil.test", False),
        ("0.0.0.0:8000", False),
        ("10.0.0.1", False),
        ("", False),
        ("[", False),
    ],
)
def test_host_on_a_loopback_bind(client: TestClient, host: str, allowed: bool) -> None:
    for path in PATHS:
        response = client.get(path, headers={"host": host})
        assert (response.status_code != 403) == allowed
        if not allowed:
            assert response.json()["error"]["code"] == "host_not_allowed"


def test_further_hosts_can_be_allowed(model: FakeModel) -> None:
    with serving(model, ServerSettings(allowed_hosts=("llm.example",))) as client:
        assert client.get("/healthz", headers={"host": "LLM.example:8000"}).status_code == 200
        assert client.get("/healthz", headers={"host": "other.example"}).status_code == 403


def test_a_public_bind_answers_to_any_host_unless_some_are_named(model: FakeModel) -> None:
    with serving(model, ServerSettings(host="0.0.0.0")) as client:
        assert client.get("/healthz", headers={"host": "llm.example"}).status_code == 200
    with serving(model, ServerSettings(host="0.0.0.0", allowed_hosts=("llm.example",))) as client:
        assert client.get("/healthz", headers={"host": "llm.example"}).status_code == 200
        assert client.get("/healthz", headers={"host": "evil.test"}).status_code == 403


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://127.0.0.1:8000", True),  # the server's own pages
        ("http://127.0.0.1:3000", False),
        ("https://127.0.0.1:8000", False),
        ("http://evil.test", False),
        ("null", False),
        ("", False),
    ],
)
def test_origin(client: TestClient, origin: str, allowed: bool) -> None:
    response = client.get("/v1/models", headers={"origin": origin})
    assert (response.status_code == 200) == allowed
    if not allowed:
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "origin_not_allowed"
        assert "access-control-allow-origin" not in response.headers


def test_an_allowed_origin_gets_the_headers_that_browsers_want(model: FakeModel) -> None:
    origin = "http://localhost:3000"
    with serving(model, ServerSettings(allowed_origins=(origin,))) as client:
        assert client.get("/v1/models", headers={"origin": origin}).headers["access-control-allow-origin"] == origin
        preflight = client.options(
            "/v1/chat/completions",
            headers={
                "origin": origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,content-type",
            },
        )
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == origin
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        assert client.get("/v1/models", headers={"origin": "http://localhost:3001"}).status_code == 403


def test_any_origin_can_be_allowed(model: FakeModel) -> None:
    with serving(model, ServerSettings(allowed_origins=("*",))) as client:
        response = client.get("/v1/models", headers={"origin": "http://anywhere.test"})
        assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("host", "name"), [("a:1", "a"), ("A.", "a"), ("[::1]:80", "::1"), ("", ""), ("[x", ""), (":80", "")]
)
def test_names_in_host_headers(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("x.test", False)],
)
def test_loopback_addresses(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
