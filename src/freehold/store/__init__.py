"""What is on disk: the home folder, the models in it, and how they get there."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from freehold.store.home import Home
from freehold.store.models import StoredModel, list_models, resolve
from freehold.store.progress import Progress, silent

if TYPE_CHECKING:
    from freehold.store.pulling import pull
    from freehold.store.removing import remove

__all__ = ["Home", "Progress", "StoredModel", "list_models", "pull", "remove", "resolve", "silent"]

# The hub's library takes longer to import than a small model takes to load.
_LAZY = {"pull": "freehold.store.pulling", "remove": "freehold.store.removing"}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
