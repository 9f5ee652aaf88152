"""What all tests share: none keeps packed weights in the home folder of whoever runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from freehold.packed.folder import LIMIT_VARIABLE


@pytest.fixture(autouse=True, scope="session")
def _nothing_is_kept() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LIMIT_VARIABLE, "0")
        yield
