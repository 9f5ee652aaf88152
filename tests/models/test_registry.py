"""Every registry row is complete: a parity test, a catalogue row, and a row in the documentation."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from freehold import catalogue
from freehold.checkpoints.base import MemoryCheckpoint
from freehold.errors import UnsupportedArchitecture
from freehold.models.registry import FAMILIES, GGUF_ARCHITECTURES, family_named, family_of
from tests.support.configurations.bert import ENCODERS
from tests.support.tiny import CONFIGURATIONS

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.mark.parametrize("architecture", FAMILIES)
def test_every_family_is_compared_with_another_implementation(architecture: str) -> None:
    configurations = [*CONFIGURATIONS.values(), *ENCODERS.values()]
    compared = {name for one in configurations for name in one.architectures or []}
    same_family = {name for name, row in FAMILIES.items() if row == FAMILIES[architecture]}
    assert compared & same_family, f"no configuration in tests/support/configurations is a {architecture}"


@pytest.mark.parametrize("architecture", FAMILIES)
def test_every_family_is_in_the_catalogue(architecture: str) -> None:
    listed = {entry.architecture for family in catalogue.families() for entry in family.entries}
    same_family = {name for name, row in FAMILIES.items() if row == FAMILIES[architecture]}
    assert listed & same_family, f"no model in the catalogue is a {architecture}"


def test_the_catalogue_lists_only_what_runs() -> None:
    listed = {entry.architecture for family in catalogue.families() for entry in family.entries}
    assert listed <= set(FAMILIES)


@pytest.mark.parametrize("architecture", FAMILIES)
def test_every_architecture_has_a_row_in_the_documentation(architecture: str) -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert any(f"`{architecture}`" in row.split("|")[1] for row in rows), (
        f"docs/models.md has no row for {architecture}"
    )


@pytest.mark.parametrize("name", GGUF_ARCHITECTURES)
def test_gguf_rows_and_families_agree(name: str) -> None:
    assert family_named(GGUF_ARCHITECTURES[name]).gguf_architecture == name


@pytest.mark.parametrize("unknown", ["LlamaForSequenceClassification", "Qwen4ForCausalLM", "DeepseekV32ForCausalLM"])
def test_an_unknown_architecture_is_named_with_the_nearest_that_we_know(unknown: str) -> None:
    with pytest.raises(UnsupportedArchitecture, match=unknown) as caught:
        family_of(MemoryCheckpoint({"architectures": [unknown]}, {}))
    [nearest] = difflib.get_close_matches(unknown, FAMILIES, n=1, cutoff=0.4)
    assert caught.value.hint == f"the nearest one is {nearest}"
