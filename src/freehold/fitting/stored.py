"""How the weights of a model are stored, as far as its config.json tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freehold.errors import ConfigError
from freehold.fitting.parts import Part, Stored
from freehold.tensors import TensorInfo, TensorType

_TYPES = {
    "float64": TensorType.F64,
    "float32": TensorType.F32,
    "float16": TensorType.F16,
    "bfloat16": TensorType.BF16,
}


def released_type(config: Mapping[str, Any]) -> TensorType:
    """The float type that a config.json names; float32, as in transformers, where it names none.

    Raises:
        ConfigError: it names one that we do not know.
    """
    text = config.get("text_config")
    places = [config, text] if isinstance(text, Mapping) else [config]
    for place in places:
        for key in ("dtype", "torch_dtype"):
            name = place.get(key)
            if name is None:
                continue
            if not isinstance(name, str) or name.removeprefix("torch.") not in _TYPES:
                raise ConfigError(f"config.json: `{key}` is {name!r:.80}; supported: {', '.join(_TYPES)}")
            return _TYPES[name.removeprefix("torch.")]
    return TensorType.F32


def all_as(parts: list[Part], kind: TensorType) -> Stored:
    """Every parameter stored in the same type."""
    infos = {part.parameter: TensorInfo(part.parameter, part.shape, kind) for part in parts}
    return infos.__getitem__
