"""Runs the server: listens, loads models, serves, and on a signal finishes what is in flight."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from freehold.server.app import assemble, begin
from freehold.server.bind import listen, url_of
from freehold.server.lifecycle import Phase
from freehold.server.logs import logging_to_stderr
from freehold.server.protocol import Protocol
from freehold.server.served import Catalogue, Loader, Model
from freehold.server.settings import ServerSettings
from freehold.server.state import Server

ANSWER_SECONDS = 2
"""How long answers that were cut short may take to reach their clients."""


def serve(
    models: Mapping[str, Loader],
    settings: ServerSettings | None = None,
    *,
    on_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serves until SIGINT or SIGTERM, then until the requests in flight have finished or the grace time is over.

    A second signal stops at once. Call it on the main thread. It listens before it loads; until the models are there,
    /healthz answers 200 and everything else 503.

    Args:
        models: how to load each, by the name that requests will use.
        settings: None takes the defaults.
        on_ready: called with the base URL when the first request could be answered.

    Raises:
        AddressUnavailable: the port is in use, or the host is none of this machine.
        FreeholdError: whatever loading a model raises.
    """
    settings = settings or ServerSettings()
    listener = listen(settings.host, settings.port)
    server = Server(settings, Catalogue(settings.aliases))
    with listener, logging_to_stderr():
        asyncio.run(_serve(server, models, listener, on_ready))


def http_server(app: ASGIApp, settings: ServerSettings) -> uvicorn.Server:
    """uvicorn, bounded as the settings say and leaving signals alone."""
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=settings.header_limit,
        timeout_graceful_shutdown=ANSWER_SECONDS,
    )
    return _HttpServer(config)


class _HttpServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled here, not by uvicorn, which would stop listening before the work is done."""
        yield


async def _serve(
    server: Server, loaders: Mapping[str, Loader], listener: socket.socket, on_ready: Callable[[str], None]
) -> None:
    http = http_server(assemble(server), server.settings)
    listening = asyncio.ensure_future(http.serve(sockets=[listener]))
    models: dict[str, Model] = {}
    with _Signals() as signals:
        try:
            if await _load(server, loaders, models, signals.first):
                begin(server)
                on_ready(url_of(listener))
                await signals.first.wait()
                await _drain(server, signals.second)
        finally:
            server.lifecycle.phase = Phase.DRAINING
            # Closing cancels what is left, whose clients are told so before the connections are closed.
            for model in models.values():
                await asyncio.to_thread(model.close)
            http.should_exit = True
            await listening
            server.workers.close()


async def _load(server: Server, loaders: Mapping[str, Loader], models: dict[str, Model], stop: asyncio.Event) -> bool:
    """Loads the models beside the event loop; False if a signal came first."""
    loop = asyncio.get_running_loop()
    loaded: asyncio.Future[None] = loop.create_future()

    def load() -> None:
        try:
            for name, loader in loaders.items():
                models[name] = loader(server.metrics.observer(name))
            server.catalogue.fill(models)
        except BaseException as error:
            settle(error)
        else:
            settle(None)

    def settle(error: BaseException | None) -> None:
        if not stop.is_set():  # else nobody waits any more, and the loop may be gone
            loop.call_soon_threadsafe(_settle, loaded, error)

    # Not a worker of a pool: those are waited for at exit, and a signal must not have to wait for a long load.
    threading.Thread(target=load, name="freehold-load", daemon=True).start()
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((loaded, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not loaded.done():
        return False
    stopping.cancel()
    loaded.result()
    return True


def _settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


async def _drain(server: Server, at_once: asyncio.Event) -> None:
    """Refuses new work and waits for what is in flight, at most for the grace time and only until a second signal."""
    server.lifecycle.phase = Phase.DRAINING
    waits = [asyncio.ensure_future(server.lifecycle.wait_until_idle()), asyncio.ensure_future(at_once.wait())]
    await asyncio.wait(waits, timeout=server.settings.grace, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


class _Signals:
    """SIGINT and SIGTERM as events: the first of them, and any further one."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> _Signals:
        self._before = {number: signal.signal(number, self._arrived) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _arrived(self, *_: object) -> None:
        # call_soon_threadsafe also wakes a loop that is waiting for its sockets.
        self._loop.call_soon_threadsafe(self._note)

    def _note(self) -> None:
        (self.second if self.first.is_set() else self.first).set()
