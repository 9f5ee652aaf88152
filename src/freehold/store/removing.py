"""Removing a pulled model, and whatever an interrupted pull of it left behind."""

from __future__ import annotations

import shutil
from pathlib import Path

from freehold.errors import StoreError
from freehold.store.home import MANIFEST, Home
from freehold.store.installing import exclusive, sweep_blobs
from freehold.store.models import BUNDLED, display_name, not_found, pulled_variants
from freehold.store.names import ModelName, model_name


def remove(name: str, *, home: Home | None = None) -> list[str]:
    """Delete a pulled model, and the content that no other model uses; all variants where the name gives none.

    Returns:
        The names that were removed.

    Raises:
        ModelNotFound: no such model was pulled.
        StoreError: the model is bundled, or the name is not one.
    """
    home = home or Home.from_environment()
    if name in BUNDLED:
        raise StoreError(f"{name} is part of Freehold and cannot be removed")
    parsed = model_name(name)
    variants = [variant for variant in pulled_variants(home, parsed) if parsed.covers(variant)]
    unfinished = [home.downloads(parsed, variant) for variant in _unfinished(home, parsed)]
    if not variants and not unfinished:
        raise not_found(home, name)
    with exclusive(home.lock("store"), busy=None):
        for variant in variants:
            # The manifest goes first: from then on the model is gone, however far the rest gets.
            (home.variant(parsed, variant) / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(home.variant(parsed, variant))
        for folder in unfinished:
            shutil.rmtree(folder)
        _remove_empty(home.repository(parsed), home.models)
        _remove_empty(home.path / "downloads" / parsed.organisation / parsed.name, home.path / "downloads")
        sweep_blobs(home)
    return [display_name(parsed, variant) for variant in variants]


def _unfinished(home: Home, name: ModelName) -> list[str]:
    folder = home.path / "downloads" / name.organisation / name.name
    found = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [variant for variant in found if name.covers(variant)]


def _remove_empty(folder: Path, top: Path) -> None:
    """Remove a folder and its parents below top while they are empty."""
    while folder != top and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
