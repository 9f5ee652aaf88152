"""What one application holds, and how an endpoint gets at it."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from freehold.engine.admission import Permit
from freehold.errors import Overloaded
from freehold.server.lifecycle import Lifecycle
from freehold.server.metrics import Metrics
from freehold.server.served import Catalogue, Served
from freehold.server.settings import ServerSettings
from freehold.server.workers import Workers


@dataclass(frozen=True, slots=True)
class Server:
    """The parts of one application."""

    settings: ServerSettings
    catalogue: Catalogue
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    metrics: Metrics = field(default_factory=Metrics)
    workers: Workers = field(default_factory=Workers)

    def permit(self, served: Served, count: int) -> Permit:
        """Permits for that many sequences, taken before any work is spent on them.

        Raises:
            Overloaded, EngineStopped, InvalidRequest: see `Admission.try_acquire`.
        """
        try:
            return served.engine.admission.try_acquire(count)
        except Overloaded:
            self.metrics.rejections.labels(served.name).inc()
            raise


def server_of(request: Request) -> Server:
    """The server that this request came to."""
    server = request.app.state.server
    assert isinstance(server, Server)
    return server
