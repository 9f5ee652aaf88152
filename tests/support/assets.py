"""The real data that some tests need. It lives beside the repository, not in it, so a test without it skips."""

from __future__ import annotations

from pathlib import Path

import pytest

ASSETS = Path(__file__).resolve().parents[3] / "shared" / "assets"


def asset(path: str) -> Path:
    """The asset of that relative path, for use inside a test or a fixture; skips when it is not on this machine."""
    found = ASSETS / path
    if not found.exists():
        pytest.skip(f"needs the asset {path}, which is not beside this repository")
    return found


def asset_names(folder: str, pattern: str) -> list[str]:
    """Relative paths of the assets in a folder, sorted, for parametrising; empty when there are none."""
    return sorted(path.relative_to(ASSETS).as_posix() for path in (ASSETS / folder).glob(pattern))
