"""What an operator can set about the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the server listens and what it accepts.

    Attributes:
        host: the address to bind; loopback by default.
        port: 0 takes any free one.
        aliases: further names of models: alias to name.
        allowed_hosts: names that a Host header may carry, besides those of the bound address. A loopback bind always
            checks them; another bind checks them only if there are any.
        allowed_origins: origins of browser pages that may call the server, as "http://localhost:3000"; "*" for any.
        body_limit: most bytes of a request body.
        body_timeout: seconds within which a request body must have arrived.
        header_limit: most bytes of request line and headers together.
        grace: seconds that requests in flight may take to finish after the first signal to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    aliases: Mapping[str, str] = field(default_factory=dict)
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    body_limit: int = 2 * 1024 * 1024
    body_timeout: float = 60.0
    header_limit: int = 64 * 1024
    grace: float = 90.0
