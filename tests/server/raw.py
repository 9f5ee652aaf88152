"""Requests as bytes, for clients that misbehave."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any


def raw_request(path: str, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def send_and_drop(port: int, request: bytes, *, wait_for_bytes: bool, reset: bool) -> None:
    """Sends a request and closes the connection without reading the answer, politely or not."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        if wait_for_bytes:
            connection.recv(1)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
