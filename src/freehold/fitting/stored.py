"""How the weights of a model are stored, as far as its config.json tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from freehold.errors import ConfigError
from freehold.fitting.parts import Part, Stored
from freehold.models.blocks import ExpertsLinear, Linear, Precision
from freehold.tensors import TensorInfo, TensorType

QUANTISED = "quantization_config"
_TYPES = {
    "float64": TensorType.F64,
    "float32": TensorType.F32,
    "float16": TensorType.F16,
    "bfloat16": TensorType.BF16,
}


@dataclass(frozen=True, slots=True)
class Release:
    """What config.json says about the weights.

    Attributes:
        floats: type of what is not quantised.
        matrices: type of the products inside the layers, but routers; None where they are quantised in a way that
            config.json does not settle.
        experts_only: only the routed experts are of that type.
    """

    floats: TensorType
    matrices: TensorType | None
    experts_only: bool = False

    def stored(self, parts: Sequence[Part]) -> Stored:
        """How each parameter is stored; of an unknown type as a float."""
        infos = {part.parameter: TensorInfo(part.parameter, part.shape, self._type(part)) for part in parts}
        return infos.__getitem__

    def _type(self, part: Part) -> TensorType:
        if self.matrices is None or len(part.shape) != 2:
            return self.floats
        if self.experts_only:
            return self.floats if part.chosen is None else self.matrices
        # What the whole vocabulary reads, and what chooses experts, is left in floats by every method we know.
        inside = isinstance(part.leaf, Linear) and part.leaf.precision is Precision.AS_ASKED
        return self.matrices if inside or isinstance(part.leaf, ExpertsLinear) else self.floats


def release_of(config: Mapping[str, Any]) -> Release:
    """What a config.json says.

    Raises:
        ConfigError: it names a float type that we do not know.
    """
    text = config.get("text_config")
    places = [config, text] if isinstance(text, Mapping) else [config]
    floats = _float_type(places)
    for place in places:
        if place.get(QUANTISED) is not None or place.get("compression_config") is not None:
            settings = place.get(QUANTISED)
            settings = settings if isinstance(settings, Mapping) else {}
            kind = _quantised_type(settings)
            # Where they are quantised, config.json names the type that is computed with; the rest is never wider.
            rest = TensorType.BF16 if floats is TensorType.F32 else floats
            return Release(rest, kind, experts_only=kind is TensorType.MXFP4_APART)
    return Release(floats, floats)


def _float_type(places: Sequence[Mapping[str, Any]]) -> TensorType:
    """The float type that is named first; float32, as in transformers, where none is."""
    for place in places:
        for key in ("dtype", "torch_dtype"):
            name = place.get(key)
            if name is None:
                continue
            if not isinstance(name, str) or name.removeprefix("torch.") not in _TYPES:
                raise ConfigError(f"config.json: `{key}` is {name!r:.80}; supported: {', '.join(_TYPES)}")
            return _TYPES[name.removeprefix("torch.")]
    return TensorType.F32


def _quantised_type(settings: Mapping[str, Any]) -> TensorType | None:
    """What the loader makes of a quantised matrix; None where that depends on the files, or where we do not read it."""
    producer = settings.get("producer")
    from_nvidia = isinstance(producer, Mapping) and producer.get("name") == "modelopt"
    match settings.get("quant_method"):
        case "fp8":
            return TensorType.FP8
        case "modelopt" | None if from_nvidia and settings.get("quant_algo") == "FP8":
            return TensorType.FP8
        case "mxfp4":
            return TensorType.MXFP4_APART
        case "awq" if settings.get("bits") == 4:
            return TensorType.UINT4
        case "gptq" if settings.get("bits") in (4, 8) and not settings.get("desc_act", False):
            four, eight = TensorType.UINT4, TensorType.UINT8
            if settings.get("sym", True):
                four, eight = TensorType.Q4_0, TensorType.Q8_0
            return four if settings["bits"] == 4 else eight
    return None
