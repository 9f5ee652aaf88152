"""A stand-in for the model hub on a loopback port, speaking as much of its API as huggingface_hub needs."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class FakeRepository:
    """A repository: its files, and whether the hub shows it.

    Attributes:
        large: paths that are kept in large-file storage, so that their SHA-256 is announced.
        announced: content whose hashes are announced instead of the real one's.
    """

    files: dict[str, bytes]
    large: frozenset[str] = frozenset()
    licence: str | None = "apache-2.0"
    gated: bool = False
    token: str | None = None
    announced: dict[str, bytes] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        content = hashlib.sha1(usedforsecurity=False)
        for path, data in sorted(self.files.items()):
            content.update(path.encode() + b"\0" + data)
        return content.hexdigest()

    def listing(self) -> list[dict[str, Any]]:
        """The files as the hub's JSON shows them."""
        rows: list[dict[str, Any]] = []
        for path, content in self.files.items():
            data = self.announced.get(path, content)
            git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
            row: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": git}
            if path in self.large:
                row["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(content), "pointerSize": 130}
            rows.append(row)
        return rows


@dataclass(frozen=True)
class SeenRequest:
    """A request that reached the hub."""

    method: str
    path: str
    headers: Message

    @property
    def is_file(self) -> bool:
        return "/resolve/" in self.path


@dataclass
class FakeHub:
    """The hub's state, to be changed by tests while it runs.

    Attributes:
        cut_after: bytes after which the connection of a file download breaks; None never.
        broken: answer file downloads with 503.
        storage: files are redirected to this other origin, as a hub does with its content network.
        answer: sent for every API call instead of the truth.
    """

    url: str = ""
    repositories: dict[str, FakeRepository] = field(default_factory=dict)
    seen: list[SeenRequest] = field(default_factory=list)
    cut_after: int | None = None
    broken: bool = False
    storage: str | None = None
    answer: bytes | None = None

    def files_seen(self) -> list[SeenRequest]:
        """The file downloads that were asked for, in order."""
        return [request for request in self.seen if request.is_file]

    def ranges(self) -> list[str | None]:
        """The Range header of each file download."""
        return [request.headers["Range"] for request in self.files_seen()]


@contextmanager
def running_hub(repositories: Mapping[str, FakeRepository] | None = None) -> Iterator[FakeHub]:
    """Serve until the block ends."""
    hub = FakeHub(repositories=dict(repositories or {}))

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: FakeHub

    def do_GET(self) -> None:
        self.state.seen.append(SeenRequest(self.command, self.path, self.headers))
        path = self.path.partition("?")[0]
        if match := _API.fullmatch(path):
            self._describe(match[1], match[2])
        elif match := _FILE.fullmatch(path):
            self._send_file(match[1], match[2], match[3])
        else:
            self._answer(404, b"{}")

    def _describe(self, name: str, revision: str | None) -> None:
        repository = self._visible(name)
        if repository is None:
            return
        if revision not in (None, "main", repository.revision):
            self._answer(404, b'{"error":"no such revision"}', {"X-Error-Code": "RevisionNotFound"})
            return
        tags = [] if repository.licence is None else [f"license:{repository.licence}"]
        content = {"id": name, "sha": repository.revision, "tags": tags, "siblings": repository.listing()}
        self._answer(200, self.state.answer or json.dumps(content).encode())

    def _send_file(self, name: str, revision: str, path: str) -> None:
        repository = self._visible(name)
        if repository is None:
            return
        if self.state.broken:
            self._answer(503, b"{}")
        elif repository.gated:
            self._answer(403, b'{"error":"gated"}', {"X-Error-Code": "GatedRepo"})
        elif path not in repository.files or revision != repository.revision:
            self._answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        elif self.state.storage is not None:
            self._answer(302, b"", {"Location": f"{self.state.storage}{self.path}"})
        else:
            self._send_range(repository.files[path])

    def _send_range(self, data: bytes) -> None:
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if self.headers["Range"] else 200)
        if self.headers["Range"]:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.state.cut_after is None:
            self.wfile.write(data[start:])
            return
        self.wfile.write(data[start : start + self.state.cut_after])
        self.close_connection = True
        self.state.broken = True  # the next attempt must not succeed by itself

    def _visible(self, name: str) -> FakeRepository | None:
        repository = self.state.repositories.get(name)
        if repository is None:
            self._answer(404, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        elif repository.token is not None and self.headers["Authorization"] != f"Bearer {repository.token}":
            self._answer(401, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"})
            return None
        return repository

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass
