"""Loading a model with a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Unpack

import freehold
from freehold.cli.progress import progress_bar

if TYPE_CHECKING:
    from freehold.api import Model
    from freehold.engine.observer import Observer
    from freehold.engine.types import EngineKeywords


@contextmanager
def loaded(
    name: str,
    *,
    backend: str,
    dtype: str | None,
    cache_type: str | None = None,
    context: int | None,
    draft_model: str | None = None,
    observer: Observer | None = None,
    **engine_options: Unpack[EngineKeywords],
) -> Iterator[Model]:
    """A loaded model, closed when the block ends; the arguments are those of `freehold.load`."""
    with progress_bar(unit_bytes=False) as report:
        model = freehold.load(
            name,
            backend=backend,
            dtype=dtype,
            cache_type=cache_type,
            context_length=context,
            draft_model=draft_model,
            observer=observer,
            progress=lambda done, total: report(f"loading {name}", done, total),
            **engine_options,
        )
    with model:
        yield model
