"""How a text's rows become one vector, as the makers say in sentence-transformers' files or in GGUF metadata.

`modules.json` lists what follows the encoder, each in a folder of its own: `1_Pooling/config.json`, `2_Normalize`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from freehold.checkpoints.base import Checkpoint, Naming
from freehold.errors import ConfigError

LARGEST_FILE = 1 << 20
# GGUF's `pooling_type`.
GGUF_KINDS = {1: "mean", 2: "cls", 3: "last"}
# The keys of 1_Pooling/config.json that we honour; one of them is true. Newer files name it in `pooling_mode`.
KINDS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pooling:
    """How rows become a vector.

    Attributes:
        kind: "mean" of all rows, the first ("cls"), or the "last".
        normalise: whether vectors are brought to length 1.
        longest: most tokens of a text, the marks at its ends included; None for the model's own limit.
        prompt: put before every text.
    """

    kind: str = "mean"
    normalise: bool = False
    longest: int | None = None
    prompt: str = ""

    def __call__(self, rows: Float32Array, normalise: bool) -> Float32Array:
        """[tokens, hidden] of one text -> [hidden]."""
        vector: Float32Array
        match self.kind:
            case "cls":
                vector = rows[0]
            case "last":
                vector = rows[-1]
            case _:
                vector = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        if not normalise:
            return vector
        length = max(float(np.sqrt(np.sum(np.square(vector, dtype=np.float64)))), 1e-12)
        unit: Float32Array = vector / np.float32(length)
        return unit


def read_pooling(checkpoint: Checkpoint) -> Pooling:
    """What the model's files say. Without any, the mean, not normalised, as sentence-transformers takes it.

    Raises:
        ConfigError: they ask for something that we do not do.
    """
    if checkpoint.naming is Naming.GGUF:
        key = f"{checkpoint.config.get('general.architecture')}.pooling_type"
        number = checkpoint.config.get(key, 1)
        if number not in GGUF_KINDS:
            raise ConfigError(f"{checkpoint.path.name}: `{key}` is {number!r}; supported: {sorted(GGUF_KINDS)}")
        return Pooling(GGUF_KINDS[number])
    folder = checkpoint.path
    modules = _read(folder / "modules.json")
    longest, prompt = _limits(folder)
    if modules is None:
        return Pooling(longest=longest, prompt=prompt)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ConfigError(f"{folder.name}/modules.json holds no list of objects")
    kind, normalise = "mean", False
    for module in modules:
        name = str(module.get("type")).rpartition(".")[2]
        if name == "Pooling":
            kind = _kind(folder, str(module.get("path", "")))
        elif name == "Normalize":
            normalise = True
        elif name != "Transformer":
            raise ConfigError(
                f"{folder.name}/modules.json: module {module.get('type')!r:.80} is not supported; "
                "supported: Transformer, Pooling, Normalize"
            )
    return Pooling(kind, normalise, longest, prompt)


def _kind(folder: Path, below: str) -> str:
    # The path comes from the model's files, so it must not lead out of the folder.
    if Path(below).is_absolute() or ".." in Path(below).parts:
        raise ConfigError(f"{folder.name}/modules.json: path {below!r:.80} leads out of the model's folder")
    where = f"{folder.name}/{below}/config.json"
    values = _read(folder / below / "config.json")
    if not isinstance(values, dict):
        raise ConfigError(f"{where} is absent or holds no object")
    if "pooling_mode" in values:
        chosen = [values["pooling_mode"]]
    else:
        modes = [key for key in values if key.startswith("pooling_mode_") and values[key] is True]
        chosen = [KINDS.get(key, key) for key in modes]
    if len(chosen) != 1 or chosen[0] not in KINDS.values():
        raise ConfigError(f"{where}: pooling {chosen!r:.80} is not supported; supported: one of mean, cls, last")
    return str(chosen[0])


def _limits(folder: Path) -> tuple[int | None, str]:
    settings = _object(folder / "sentence_bert_config.json")
    longest = settings.get("max_seq_length")
    if longest is not None and (not isinstance(longest, int) or longest < 1):
        raise ConfigError(f"{folder.name}/sentence_bert_config.json: `max_seq_length` is {longest!r:.80}")
    if settings.get("do_lower_case"):
        raise ConfigError(f"{folder.name}/sentence_bert_config.json: `do_lower_case` is true; supported: false")
    more = _object(folder / "config_sentence_transformers.json")
    prompts, default = more.get("prompts"), more.get("default_prompt_name")
    if default is None:
        return longest, ""
    if not isinstance(prompts, Mapping) or not isinstance(prompts.get(default), str):
        raise ConfigError(
            f"{folder.name}/config_sentence_transformers.json: `default_prompt_name` is {default!r:.80}, "
            "which `prompts` does not have"
        )
    return longest, prompts[default]


def _object(path: Path) -> Mapping[str, Any]:
    values = _read(path)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path.parent.name}/{path.name} holds no object")
    return values


def _read(path: Path) -> Any:
    """A small JSON file's contents; None where there is no such file."""
    if not path.is_file():
        return None
    if path.stat().st_size > LARGEST_FILE:
        raise ConfigError(f"{path.name} has {path.stat().st_size} bytes; at most {LARGEST_FILE} are read")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path.parent.name}/{path.name} is not valid JSON") from error
