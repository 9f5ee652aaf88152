"""The catalogue as it is shipped: complete, consistent, and true to what was published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from freehold.catalogue import Entry, families, find, licences, short_names
from freehold.store.names import ModelName
from freehold.store.selection import RemoteFile, gguf_variants
from tests.support.assets import asset

ENTRIES = [entry for family in families() for entry in family.entries]
# In billions, as their makers give them.
PUBLISHED = {
    "llama3.3:70b": "70.55",
    "llama4:scout": "107.77",
    "llama4:maverick": "400.71",
    "mistral:7b-v0.3": "7.25",
    "mistral-small:24b-2501": "23.57",
    "mixtral:8x7b": "46.70",
    "qwen2.5:7b": "7.62",
    "qwen2.5:32b": "32.76",
    "qwen3:30b-a3b": "30.53",
    "gemma2:2b": "2.61",
    "gemma2:9b": "9.24",
    "gemma2:27b": "27.23",
    "falcon:40b": "41.30",
    "deepseek-v3:671b": "671.03",
    "gpt-oss:20b": "20.91",
    "gpt-oss:120b": "116.83",
    "baichuan:7b": "7.00",
    "baichuan:13b": "13.26",
}
ACTIVE = {
    "llama4:scout": 17,
    "llama4:maverick": 17,
    "mixtral:8x7b": 12.9,
    "mixtral:8x22b": 39,
    "qwen3:30b-a3b": 3.3,
    "qwen3:235b-a22b": 22,
    "qwen3-coder:480b-a35b": 35,
    "qwen3.5:35b-a3b": 3,
    "qwen3.5:122b-a10b": 10,
    "qwen3.5:397b-a17b": 17,
    "deepseek-v3:671b": 37,
    "gpt-oss:20b": 3.61,
    "gpt-oss:120b": 5.13,
}


def test_families_that_people_look_for_are_there() -> None:
    wanted = (
        "llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 mistral mistral-nemo mistral-small mistral-large mixtral "
        "qwen2.5 qwen2.5-coder qwen3 qwen3-coder qwen3.5 deepseek-v3 deepseek-r1 deepseek-r1-distill gpt-oss gemma2 "
        "falcon falcon2 baichuan baichuan2 xverse ziya-llama mengzi3 stablelm stablelm2 bertimbau all-minilm bge bge-m3"
    )
    assert {family.name for family in families()} == set(wanted.split())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    target = find(name)
    assert target is not None
    assert target.entry.parameters is not None
    assert f"{target.entry.parameters / 1e9:.2f}" == PUBLISHED[name]


@pytest.mark.parametrize("name", ACTIVE)
def test_active_parameters_are_about_the_published_ones(name: str) -> None:
    target = find(name)
    assert target is not None
    assert target.entry.active is not None
    # Makers round to whole billions, and some down: 3.45 is called A3B.
    assert target.entry.active / 1e9 == pytest.approx(ACTIVE[name], rel=0.02, abs=0.5)


def test_active_parameters_are_given_for_every_mixture_and_for_no_other() -> None:
    mixtures = {
        "Llama4ForConditionalGeneration",
        "MixtralForCausalLM",
        "Qwen3MoeForCausalLM",
        "Qwen3_5MoeForConditionalGeneration",
        "DeepseekV3ForCausalLM",
        "GptOssForCausalLM",
    }
    for entry in ENTRIES:
        assert (entry.active is not None) == (entry.architecture in mixtures), entry.name


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_names_resolve_to_repositories_and_files(entry: Entry) -> None:
    target = find(entry.name)
    assert target is not None
    assert target.entry is entry
    assert str(ModelName.parse(target.reference)) == entry.hub
    for release in entry.releases:
        found = find(f"{entry.name}-{release.tag}")
        assert found is not None
        assert (found.entry, found.release) == (entry, release)
        name = ModelName.parse(found.reference)
        assert (name.repository, name.variant) == (release.hub, release.variant)
        if release.files is not None and release.variant is not None:
            file = RemoteFile(release.files.replace("{type}", release.variant), 1)
            (label,) = gguf_variants([file])
            assert name.covers(label), f"{file.path} would be stored as {label}"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_context_is_what_the_configuration_allows(entry: Entry) -> None:
    configuration = entry.configuration or {}
    text = configuration.get("text_config", configuration)
    positions = text.get("max_position_embeddings", text.get("model_max_length"))
    if positions is not None and entry.architecture != "XLMRobertaModel":  # whose first two positions are padding
        assert positions == entry.context


def test_every_licence_is_used_and_has_an_identifier() -> None:
    assert {licence.id for entry in ENTRIES for licence in entry.licences} == set(licences())
    spdx = {"Apache-2.0", "MIT", "CC-BY-SA-4.0", "GPL-3.0-only"}
    for licence in licences().values():
        assert licence.id in spdx or licence.id.startswith("LicenseRef-")
        for url in (licence.url, licence.acceptable_use):
            assert url is None or url.startswith("https://")


def test_llama_licences_name_their_limits() -> None:
    for name, licence in licences().items():
        if name.startswith("LicenseRef-Llama-"):
            assert licence.monthly_users == 700_000_000
            assert licence.acceptable_use is not None
            assert "Llama" in (licence.attribution or "")


def test_short_names_are_lower_case_and_different() -> None:
    names = short_names()
    assert len(set(names)) == len(names)
    assert all(name == name.casefold() for name in names)


def released_configurations() -> list[tuple[Entry, Path, bool]]:
    """Entry, config.json, and whether that is the base model's, for those that are beside the repository."""
    folder = asset("configs")
    repositories = [(entry, entry.hub, False) for entry in ENTRIES]
    repositories += [(e, release.hub, True) for e in ENTRIES for release in e.releases if release.format == "base"]
    stems = [(entry, folder / hub.replace("/", "--"), base) for entry, hub, base in repositories]
    pairs = [(entry, stem.with_name(f"{stem.name}_config.json"), base) for entry, stem, base in stems]
    pairs += [(entry, stem / "config.json", base) for entry, stem, base in stems]
    return [pair for pair in pairs if pair[1].is_file()]


def test_configurations_are_part_of_the_released_ones() -> None:
    found = released_configurations()
    assert len(found) >= 25
    for entry, path, base in found:
        released: dict[str, Any] = json.loads(path.read_text())
        assert entry.architecture in released["architectures"], path.name
        assert entry.configuration is not None
        for key, value in entry.configuration.items():
            if key == "text_config":
                assert {inner: released[key][inner] for inner in value} == value, path.name
            elif not (base and key in _TUNED) and (path.name, key) != _LENGTHENED:
                assert released.get(key, _DEFAULTS.get(key)) == value, f"{path}: {key}"


# What transformers takes where a released file is silent, and what changes when a model is tuned.
_DEFAULTS = {"hidden_act": "silu", "rms_norm_eps": 1e-6, "tie_word_embeddings": False, "sliding_window": 128}
_LENGTHENED = ("Qwen--Qwen2.5-32B-Instruct_config.json", "max_position_embeddings")  # whoever copied it changed it
_TUNED = {"max_position_embeddings", "vocab_size"}
