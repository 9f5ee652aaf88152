"""Bodies and headers are bounded, in size and in time."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from freehold.server import protocol
from freehold.server.app import create_app
from freehold.server.settings import ServerSettings
from tests.server.fake_engine import FakeModel
from tests.server.live import Live, eventually, running

URL = "/v1/chat/completions"


@pytest.fixture
def narrow(model: FakeModel) -> Iterator[Live]:
    """A server that takes 1000 bytes of body within a tenth of a second."""
    with running({"fake": model}, ServerSettings(port=0, body_limit=1000, body_timeout=0.1)) as live:
        yield live


def exchange(live: Live, request: bytes) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of the answer to the bytes of a request."""
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection:
        connection.sendall(request)
        answer = connection.makefile("rb")
        status = int(answer.readline().split()[1])
        length = 0
        while (line := answer.readline()).strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return status, json.loads(answer.read(length))


def request_of(body: bytes, *headers: str) -> bytes:
    lines = [f"POST {URL} HTTP/1.1", "Host: 127.0.0.1", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def body_of(size: int) -> bytes:
    """A chat request of exactly so many bytes."""
    body: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": ""}]}
    body["messages"][0]["content"] = "x" * (size - len(json.dumps(body)))
    return json.dumps(body).encode()


def test_a_body_is_served_up_to_the_limit(narrow: Live) -> None:
    assert exchange(narrow, request_of(body_of(1000), "Content-Length: 1000"))[0] == 200


def test_a_body_past_the_limit_is_413_before_it_is_read(narrow: Live) -> None:
    status, answer = exchange(narrow, request_of(b"", "Content-Length: 1001"))
    assert status == 413
    assert answer["error"]["code"] == "request_too_large"
    assert "1000" in answer["error"]["message"]


def test_a_body_in_chunks_is_counted_as_it_comes(narrow: Live) -> None:
    chunk = b"1F4\r\n" + b"x" * 500 + b"\r\n"
    status, answer = exchange(narrow, request_of(chunk * 3, "Transfer-Encoding: chunked"))
    assert status == 413
    assert answer["error"]["code"] == "request_too_large"


def test_a_body_that_does_not_come_is_408(narrow: Live) -> None:
    status, answer = exchange(narrow, request_of(b"{", "Content-Length: 10"))
    assert status == 408
    assert answer["error"]["code"] == "request_timeout"


def test_a_length_that_is_no_number_is_400(narrow: Live) -> None:
    for length in ("-1", "1e3", "9" * 30):
        status, answer = exchange(narrow, request_of(b"{}", f"Content-Length: {length}"))
        assert status in (400, 413)
        assert set(answer["error"]) == {"message", "type", "param", "code"}


def test_a_compressed_body_is_refused_by_name(client: TestClient) -> None:
    response = client.post(URL, content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert response.status_code == 415
    assert "gzip" in response.json()["error"]["message"]


@pytest.mark.parametrize("size", [1_000_000, 20_000_000])
def test_megabytes_of_headers_are_431(live: Live, size: int) -> None:
    status, answer = exchange(live, request_of(b"", "X-Large: " + "x" * size))
    assert status == 431
    assert answer["error"]["code"] == "headers_too_large"
    status, _ = exchange(live, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert status == 200


def test_headers_below_the_limit_are_read(live: Live) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Large: " + b"x" * 30_000 + b"\r\n\r\n"
    assert exchange(live, request)[0] == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"not http at all\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",  # a client that speaks TLS
    ],
)
def test_what_is_no_http_request_is_answered_in_json(live: Live, request_bytes: bytes) -> None:
    status, answer = exchange(live, request_bytes)
    assert status == 400
    assert answer["error"]["code"] == "invalid_http"


def test_a_body_that_is_no_chunk_is_answered_and_forgotten(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 60.0)
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection:
        connection.sendall(request_of(b'5\r\n{"a":\r\nzz\r\n', "Transfer-Encoding: chunked"))
        assert connection.recv(12) == b"HTTP/1.1 400"
        eventually(lambda: live.server.lifecycle.in_flight == 0)


@pytest.mark.parametrize(
    "beginning", [b"", b"POST /v1/completions HT", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"]
)
def test_a_request_that_does_not_come_is_not_waited_for(
    model: FakeModel, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 0.2)
    with running({"fake": model}) as live, socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection:
        connection.sendall(beginning)
        assert connection.recv(1) == b""


def test_a_slow_answer_is_not_cut(model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 0.05)
    model.template.delay = 0.3
    with running({"fake": model}) as live:
        body = body_of(100)
        for _ in range(2):
            assert exchange(live, request_of(body, "Content-Length: 100"))[0] == 200


def test_the_default_limit_is_two_mebibytes(model: FakeModel) -> None:
    app = create_app({"fake": model})
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.post(URL, content=b" " * (2 * 1024 * 1024 + 1)).status_code == 413
        assert client.post(URL, content=b" " * (2 * 1024 * 1024)).status_code == 400
