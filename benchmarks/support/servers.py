"""Servers under load, each a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryFile

from benchmarks.support.sides import SideFailed

PATIENCE = 120.0


def our_server(path: Path, port: int, *, context: int, sequences: int) -> list[str]:
    """The command of `freehold serve`, without speculation, for what random weights write repeats itself."""
    options = ["--port", str(port), "--context", str(context), "--max-sequences", str(sequences)]
    return [sys.executable, "-m", "freehold", "serve", str(path), "--speculation", "off", *options]


def llama_server(python: Path, path: Path, port: int, *, context: int, threads: int) -> list[str]:
    """The command of llama-cpp-python's server, which computes one request at a time.

    By default it cuts an answer off where another request comes; that is switched off.
    """
    options = {"model": path, "port": port, "n_ctx": context, "n_threads": threads, "n_threads_batch": threads}
    options |= {"interrupt_requests": "false"}
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return [str(python), "-m", "llama_cpp.server", *words]


@contextmanager
def running(command: Sequence[str], port: int, environment: dict[str, str]) -> Iterator[str]:
    """Start a server and end it afterwards; gives the name that it serves its model under.

    Raises:
        SideFailed: it ended, or did not answer in time.
    """
    with TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process:
        try:
            yield _ready(process, port)
        except SideFailed as error:
            log.seek(0)
            raise SideFailed(f"{error}\n{log.read().decode(errors='replace')[-2000:]}") from error
        finally:
            process.kill()


def _ready(process: subprocess.Popen[bytes], port: int) -> str:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SideFailed(f"the server ended with {process.returncode}")
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/v1/models")
            return str(json.loads(connection.getresponse().read())["data"][0]["id"])
        except (OSError, HTTPException, ValueError, LookupError):
            time.sleep(0.1)
        finally:
            connection.close()
    raise SideFailed(f"the server did not answer within {PATIENCE:.0f} seconds")


def free_port() -> int:
    """A port on the loopback that nobody listened on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
