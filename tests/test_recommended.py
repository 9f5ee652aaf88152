from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from freehold.checkpoints.base import MemoryCheckpoint, Naming
from freehold.engine.types import SamplingOptions
from freehold.errors import ConfigError
from freehold.recommended import recommended_sampling


def _folder(path: Path, content: str) -> MemoryCheckpoint:
    (path / "generation_config.json").write_text(content)
    return MemoryCheckpoint({}, {}, path=path)


def test_the_makers_values_are_taken(tmp_path: Path) -> None:
    values = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "eos_token_id": [1, 2]}
    checkpoint = _folder(tmp_path, json.dumps(values))
    assert recommended_sampling(checkpoint) == SamplingOptions(temperature=0.6, top_p=0.9, top_k=20)


def test_do_sample_false_means_greedy(tmp_path: Path) -> None:
    checkpoint = _folder(tmp_path, '{"do_sample": false, "temperature": 0.6}')
    assert recommended_sampling(checkpoint).temperature == 0


def test_without_a_file_or_a_value_ours_apply(tmp_path: Path) -> None:
    assert recommended_sampling(MemoryCheckpoint({}, {}, path=tmp_path)) == SamplingOptions()
    assert recommended_sampling(_folder(tmp_path, '{"temperature": null}')) == SamplingOptions()


def test_gguf_metadata_is_read() -> None:
    metadata = {"general.sampling.temp": 0.7, "general.sampling.top_k": 40}
    checkpoint = MemoryCheckpoint(metadata, {}, naming=Naming.GGUF)
    assert recommended_sampling(checkpoint) == SamplingOptions(temperature=0.7, top_k=40)


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "7", '"x"', "\xff", "[" * 100_000, " " * (1 << 20) + "{}"),
        *('{"temperature": "hot"}', '{"temperature": -1}', '{"temperature": NaN}'),
        *('{"top_p": 2}', '{"top_k": 1.5}', '{"top_k": 1e400}'),
    ],
)
def test_hostile_files_are_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError):
        recommended_sampling(_folder(tmp_path, content))


@pytest.mark.parametrize("value", [-1.0, float("nan"), "0.7", True])
def test_hostile_metadata_is_refused(value: Any) -> None:
    checkpoint = MemoryCheckpoint({"general.sampling.temp": value}, {}, naming=Naming.GGUF)
    with pytest.raises(ConfigError, match=r"general\.sampling\.temp"):
        recommended_sampling(checkpoint)
