"""Processes that measure on request: ours, and others with the same words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent
LOG_BYTES = 2000


class SideFailed(Exception):
    """A process that measures ended; the end of its log says why."""


class Side:
    """A process that answers one line of JSON with another; see `benchmarks.support.answering`.

    Args:
        name: what messages call it.
        command: what to run.
        environment: variables beside this process's own.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._log = TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=os.environ | dict(environment or {}),
        )

    def ask(self, **wanted: object) -> dict[str, Any]:
        """What the process answers.

        Raises:
            SideFailed: it has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(wanted) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise SideFailed(f"{self.name} ended when asked for {wanted!r:.200}:\n{self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - LOG_BYTES))
        return self._log.read().decode(errors="replace").strip()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def our_side(threads: int, environment: Mapping[str, str] | None = None) -> Side:
    """Freehold on so many threads."""
    variables = {"FREEHOLD_THREADS": str(threads), **(environment or {})}
    return Side("freehold", [sys.executable, str(HERE / "our_side.py")], variables)


def llama_side(python: Path, threads: int) -> Side:
    """llama.cpp on so many threads, in a Python that has `llama-cpp-python`."""
    return Side("llama.cpp", [str(python), str(HERE / "llama_side.py"), str(threads)])


def torch_side(threads: int) -> Side:
    """transformers on so many threads, in this Python."""
    return Side("transformers", [sys.executable, str(HERE / "torch_side.py"), str(threads)])
