"""Who may talk to the server: checks of Host and Origin, before anything else looks at a request.

A page of any web site can make a browser send requests to 127.0.0.1. Two checks keep such pages out: the Host header
must name this machine (a site whose name was re-bound to 127.0.0.1 still sends its own), and the Origin header, which
browsers add to what pages send, must be this server's or one that the operator allowed.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from freehold.server.errors import Refused, describe
from freehold.server.settings import ServerSettings


class HostGuard:
    """Answers only requests whose Host header names this server."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._names = {_plain(name) for name in settings.allowed_hosts}
        self._checks = is_loopback(settings.host) or bool(self._names)
        self._names |= {"localhost", _plain(settings.host)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._checks:
            for host in Headers(scope=scope).getlist("host"):
                if not self._knows(host):
                    await _refuse(host, scope, receive, send)
                    return
        await self._app(scope, receive, send)

    def _knows(self, host: str) -> bool:
        name = host_name(host)
        return name in self._names or is_loopback(name)


class OriginGuard:
    """Refuses what pages of other origins send, unless the operator allowed them."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._origins = set(settings.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "*" not in self._origins:
            headers = Headers(scope=scope)
            for origin in headers.getlist("origin"):
                same = origin == f"{scope['scheme']}://{headers.get('host', '')}"
                if not same and origin not in self._origins:
                    error = Refused(
                        f"Pages of the origin '{origin[:128]}' may not call this server.",
                        code="origin_not_allowed",
                        hint="start it with --allowed-origin and this origin",
                    )
                    await describe(error).response()(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether a bound address or a host name is this machine's own, reachable from nowhere else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """The name in a Host header, without port and final dot, in lower case; "" for one that makes no sense."""
    try:
        return _plain(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return ""


def _plain(name: str) -> str:
    return name.lower().strip("[]").removesuffix(".")


async def _refuse(host: str, scope: Scope, receive: Receive, send: Send) -> None:
    error = Refused(
        f"This server does not answer to the host name '{host[:128]}'.",
        code="host_not_allowed",
        hint="use 127.0.0.1 or localhost, or start it with --allowed-host and this name",
    )
    await describe(error).response()(scope, receive, send)
