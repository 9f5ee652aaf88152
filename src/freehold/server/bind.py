"""The listening socket."""

from __future__ import annotations

import errno
import socket

from freehold.errors import FreeholdError

BACKLOG = 1024


class AddressUnavailable(FreeholdError):
    """The server cannot listen where it was asked to."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; opened before models are loaded, so that a port in use is known at once.

    Raises:
        AddressUnavailable: the port is in use, or the address is not this machine's.
    """
    if not 0 <= port <= 65535:  # the system would take it modulo 65536
        raise AddressUnavailable(f"port {port} does not exist", hint="choose one up to 65535 with --port, or 0 for any")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise AddressUnavailable(f"'{host}' is not an address to listen on: {error}", hint=_HOST_HINT) from error
    try:
        # Without it, a restart would have to wait for the connections of the last run to time out.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _explained(host, port, error) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Where clients reach the server: what to give to OpenAI's client as base_url."""
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}/v1" if ":" in reachable else f"http://{reachable}:{port}/v1"


_HOST_HINT = "use 127.0.0.1 for this machine only, or 0.0.0.0 for all networks"


def _explained(host: str, port: int, error: OSError) -> AddressUnavailable:
    if error.errno == errno.EADDRINUSE:
        return AddressUnavailable(
            f"port {port} on {host} is in use", hint="stop the program that uses it, or choose another with --port"
        )
    if error.errno == errno.EACCES:
        return AddressUnavailable(f"port {port} needs more rights", hint="choose one above 1023 with --port")
    if error.errno == errno.EADDRNOTAVAIL:
        return AddressUnavailable(f"'{host}' is not an address of this machine", hint=_HOST_HINT)
    return AddressUnavailable(f"cannot listen on {host} port {port}: {error}", hint="choose another with --port")
