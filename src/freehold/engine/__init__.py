"""Many sequences computed together: scheduling, caching, drawing, stopping."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from freehold.engine.observer import EngineStats, Observer
from freehold.engine.types import (
    EngineOptions,
    FinishReason,
    GenerationRequest,
    Output,
    SamplingOptions,
    StopOptions,
    TokenOutput,
    Usage,
)

if TYPE_CHECKING:
    from freehold.engine.admission import Admission, Permit
    from freehold.engine.engine import Engine, Ticket
    from freehold.engine.stream import OutputStream

__all__ = [
    "Admission",
    "Engine",
    "EngineOptions",
    "EngineStats",
    "FinishReason",
    "GenerationRequest",
    "Observer",
    "Output",
    "OutputStream",
    "Permit",
    "SamplingOptions",
    "StopOptions",
    "Ticket",
    "TokenOutput",
    "Usage",
]

# The types are needed where numpy must not be imported yet.
_LAZY = {
    "Admission": "freehold.engine.admission",
    "Permit": "freehold.engine.admission",
    "Engine": "freehold.engine.engine",
    "Ticket": "freehold.engine.engine",
    "OutputStream": "freehold.engine.stream",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
