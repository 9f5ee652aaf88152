"""The server as a process: starting, signals, and stopping without losing anything."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import httpx2
import pytest

from freehold.errors import FreeholdError
from freehold.server.bind import AddressUnavailable, listen, url_of
from freehold.server.run import serve
from freehold.server.settings import ServerSettings
from tests.server.live import eventually

ROOT = Path(__file__).resolve().parents[2]
CHAT: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
ENDLESS = {**CHAT, "stream": True, "ignore_eos": True, "max_tokens": 2000}


@contextmanager
def process(*, grace: float = 20, loading: float = 0) -> Iterator[subprocess.Popen[str]]:
    """The fake server in a process of its own, which has printed that it is loading."""
    command = [sys.executable, "-m", "tests.server.fake_server", str(grace), str(loading)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "loading\n", child.stderr and child.stderr.read()
            yield child
        finally:
            child.kill()


def url(child: subprocess.Popen[str]) -> str:
    """The base URL that the server prints when it is ready."""
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    assert line.startswith("http://127.0.0.1:")
    return line


def ended(child: subprocess.Popen[str], *, within: float) -> str:
    """Standard error of a server that stops properly."""
    output, errors = child.communicate(timeout=within)
    assert output == "stopped\n"
    assert child.returncode == 0
    assert "Traceback" not in errors
    return errors


def test_an_idle_server_stops_at_once_and_in_peace() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with process() as child:
            address = url(child)
            assert httpx2.get(f"{address}/models").status_code == 200
            child.send_signal(number)
            log = ended(child, within=10)
            assert re.search(r"INFO req-\w+ GET /v1/models 200 \d+ms\n", log)


def test_work_in_flight_finishes_while_new_work_is_refused() -> None:
    with process() as child:
        address = url(child)
        with httpx2.stream("POST", f"{address}/chat/completions", json={**CHAT, "stream": True}) as answer:
            lines = answer.iter_lines()
            next(lines)
            child.send_signal(signal.SIGTERM)
            ready = address.replace("/v1", "/readyz")
            eventually(lambda: httpx2.get(ready).status_code == 503)
            assert httpx2.get(ready).json() == {"status": "draining"}
            refused = httpx2.post(f"{address}/chat/completions", json=CHAT)
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "shutting_down"
            assert refused.headers["retry-after"]
            rest = list(lines)
        assert rest[-2:] == ["data: [DONE]", ""]
        assert '"finish_reason":"stop"' in rest[-4]
        ended(child, within=10)


def test_work_that_outlasts_the_grace_time_is_told_so() -> None:
    with process(grace=0.5) as child:
        address = url(child)
        with httpx2.stream("POST", f"{address}/chat/completions", json=ENDLESS) as answer:
            lines = answer.iter_lines()
            next(lines)
            child.send_signal(signal.SIGTERM)
            started = monotonic()
            rest = [line for line in lines if line]
        assert 0.4 < monotonic() - started < 8
        assert rest[-1] == "data: [DONE]"
        assert json.loads(rest[-2].removeprefix("data: "))["error"]["code"] == "shutting_down"
        ended(child, within=10)


def test_a_second_signal_stops_at_once() -> None:
    with process(grace=600) as child:
        address = url(child)
        with httpx2.stream("POST", f"{address}/chat/completions", json=ENDLESS) as answer:
            lines = answer.iter_lines()
            next(lines)
            child.send_signal(signal.SIGINT)
            ready = address.replace("/v1", "/readyz")
            eventually(lambda: httpx2.get(ready).status_code == 503)
            child.send_signal(signal.SIGINT)
            list(lines)
        ended(child, within=10)


def test_a_signal_while_loading_does_not_wait_for_it() -> None:
    with process(loading=600) as child:
        child.send_signal(signal.SIGTERM)
        ended(child, within=10)


def test_an_error_while_loading_ends_the_server_and_is_raised() -> None:
    with process(loading=-1) as child:
        output, errors = child.communicate(timeout=10)
    assert output == ""
    assert child.returncode == 1
    assert "there is no model 'fake'" in errors


def test_a_port_in_use_is_known_before_anything_is_loaded() -> None:
    def load(_: object) -> Any:
        raise AssertionError("nothing must be loaded")

    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressUnavailable, match=f"port {port} on 127.0.0.1 is in use") as error:
            serve({"fake": load}, ServerSettings(port=port))
    assert isinstance(error.value, FreeholdError)
    assert "--port" in (error.value.hint or "")


@pytest.mark.parametrize("host", ["256.1.1.1", "no host", "198.51.100.7", "x" * 300, "\0"])
def test_a_host_that_is_none_of_this_machine(host: str) -> None:
    with pytest.raises(AddressUnavailable):
        listen(host, 0)


@pytest.mark.parametrize("port", [-1, 70_000])
def test_a_port_that_is_none(port: int) -> None:
    with pytest.raises(AddressUnavailable):
        listen("127.0.0.1", port)


def test_urls_that_clients_can_use() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    with listen("0.0.0.0", 0) as listener:
        assert url_of(listener).startswith("http://127.0.0.1:")
    if not socket.has_ipv6:
        pytest.skip("needs IPv6")
    try:
        listener = listen("::1", 0)
    except AddressUnavailable:
        pytest.skip("needs an IPv6 loopback address")
    with listener:
        assert url_of(listener).startswith("http://[::1]:")
