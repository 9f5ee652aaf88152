"""Run, serve, adapt and account for open-weight language models on your own hardware.

import freehold

model = freehold.load("pebble")
print(model.generate("...", max_tokens=64, temperature=0))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freehold.api import Model, load

__all__ = ["Model", "__version__", "load"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # `freehold --help` and the other light commands must not pay for importing numpy.
    if name in ("Model", "load"):
        return getattr(import_module("freehold.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "Model", "load"])
