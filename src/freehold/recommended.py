"""How a model's makers recommend to sample from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from freehold.checkpoints.base import Checkpoint, Naming
from freehold.engine.types import SamplingOptions
from freehold.engine.validation import RANGES, check_integer, check_number
from freehold.errors import ConfigError, InvalidRequest

# Our name -> the makers' name.
_HUGGING_FACE = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
}
_GGUF = {
    "temperature": "general.sampling.temp",
    "top_k": "general.sampling.top_k",
    "top_p": "general.sampling.top_p",
    "min_p": "general.sampling.min_p",
    "repetition_penalty": "general.sampling.penalty_repeat",
}
LARGEST_FILE = 1 << 20


def recommended_sampling(checkpoint: Checkpoint) -> SamplingOptions:
    """What generation_config.json or the GGUF metadata say; our own defaults for what they leave open.

    `do_sample: false` in generation_config.json means greedy decoding, whatever temperature stands beside it.

    Raises:
        ConfigError: a value that cannot be honoured, with its name.
    """
    if checkpoint.naming is Naming.GGUF:
        return _translate(checkpoint.config, _GGUF)
    path = checkpoint.path / "generation_config.json"
    if not path.is_file():
        return SamplingOptions()
    if path.stat().st_size > LARGEST_FILE:
        raise ConfigError(f"{path.name} has {path.stat().st_size} bytes; at most {LARGEST_FILE} are read")
    try:
        fields = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path.name} is not valid JSON") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"{path.name} holds no JSON object")
    sampling = _translate(fields, _HUGGING_FACE)
    return replace(sampling, temperature=0.0) if fields.get("do_sample") is False else sampling


def sampling_words(sampling: SamplingOptions, naming: Naming) -> dict[str, Any]:
    """The entries of generation_config.json or of GGUF metadata that read back as `sampling`."""
    names = _GGUF if naming is Naming.GGUF else _HUGGING_FACE
    ours = SamplingOptions()
    words = {
        name: getattr(sampling, key) for key, name in names.items() if getattr(sampling, key) != getattr(ours, key)
    }
    if naming is Naming.HUGGING_FACE and words:
        if sampling.temperature == 0:
            del words["temperature"]
        words["do_sample"] = sampling.temperature > 0
    return words


def _translate(fields: Mapping[str, Any], names: Mapping[str, str]) -> SamplingOptions:
    given = {ours: fields[theirs] for ours, theirs in names.items() if fields.get(theirs) is not None}
    try:
        for ours, value in given.items():
            if ours == "top_k":
                check_integer(names[ours], value, 0, 2**31 - 1)
            else:
                check_number(names[ours], value, *RANGES[ours])
    except InvalidRequest as error:
        raise ConfigError(f"recommended sampling: {error.message}") from error
    return SamplingOptions(**given)
