"""A real server on a loopback port, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from starlette.applications import Starlette

from freehold.server.app import create_app
from freehold.server.bind import listen, url_of
from freehold.server.run import http_server
from freehold.server.served import Model
from freehold.server.settings import ServerSettings
from freehold.server.state import Server


@dataclass(frozen=True, slots=True)
class Live:
    """A running server.

    Attributes:
        url: the base URL for clients, ending in /v1.
        port: where it listens.
    """

    url: str
    port: int
    app: Starlette

    @property
    def server(self) -> Server:
        server = self.app.state.server
        assert isinstance(server, Server)
        return server


@contextmanager
def running(models: Mapping[str, Model], settings: ServerSettings | None = None) -> Iterator[Live]:
    """Serves models until the block is left."""
    settings = settings or ServerSettings(port=0)
    app = create_app(models, settings)
    listener = listen(settings.host, settings.port)
    http = http_server(app, settings)
    thread = threading.Thread(target=lambda: asyncio.run(http.serve(sockets=[listener])), name="test-server")
    thread.start()
    try:
        yield Live(url_of(listener), listener.getsockname()[1], app)
    finally:
        http.should_exit = True
        thread.join()
        app.state.server.workers.close()
        listener.close()


def eventually(condition: Callable[[], bool], *, seconds: float = 5.0) -> float:
    """Waits until a condition holds, which another thread brings about; returns how long that took."""
    started = monotonic()
    pause = threading.Event()
    while not condition():
        assert monotonic() - started < seconds, f"still not so after {seconds} seconds"
        pause.wait(0.002)
    return monotonic() - started
