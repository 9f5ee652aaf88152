"""The config.json that we write means to transformers what the one that we read means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from freehold.checkpoints.base import MemoryCheckpoint
from freehold.models.describe import to_hugging_face
from freehold.models.registry import family_of
from tests.support.published import PublishedConfig
from tests.support.tiny import CONFIGURATIONS, reference, reference_logits, relative_error

SEQUENCES = [list(range(1, 75))]
# Those of families that transformers has.
KNOWN = [name for name, configuration in CONFIGURATIONS.items() if not isinstance(configuration, PublishedConfig)]


@pytest.mark.parametrize("name", KNOWN)
def test_transformers_computes_the_same_from_our_words(name: str) -> None:
    theirs: Any = CONFIGURATIONS[name]
    _, config = family_of(MemoryCheckpoint(theirs.to_dict(), {}))
    ours = type(theirs).from_dict(json.loads(json.dumps(to_hugging_face(config))))
    found, expected = (reference_logits(reference(one), SEQUENCES) for one in (ours, theirs))
    assert relative_error(found, expected) < 1e-6
