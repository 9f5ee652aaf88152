"""A checkpoint in the other naming, or in other storage types, for other programs to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from freehold.checkpoints.base import Checkpoint, LazyTensor, Naming
from freehold.errors import ConfigError
from freehold.models.blocks import Linear, Precision, Vector
from freehold.models.config import FrequencyFactors, Llama3Scaling, ModelConfig
from freehold.models.describe import frequency_factors, to_gguf, to_hugging_face
from freehold.models.loading import locate, outline, parameter_shapes
from freehold.models.network import Network
from freehold.models.weights import StoredTensor
from freehold.tensors import ASSEMBLED_TYPES, FLOAT_TYPES, Tensor, TensorInfo, TensorType, WeightType, keeps_codes
from freehold.tensors.quantise import encode

STORED_AS = {
    WeightType.F32: TensorType.F32,
    WeightType.F16: TensorType.F16,
    WeightType.Q8: TensorType.Q8_0,
    WeightType.Q4: TensorType.Q4_0,
}
# Rows of GGUF's simple quantised types are whole blocks of this many columns.
BLOCK_COLUMNS = 32
# The key `general.file_type` for the type that most of the weights have.
FILE_TYPES = {
    TensorType.F32: 0,
    TensorType.F16: 1,
    TensorType.Q4_0: 2,
    TensorType.Q4_1: 3,
    TensorType.Q8_0: 7,
    TensorType.Q5_0: 8,
    TensorType.Q5_1: 9,
    TensorType.Q4_K: 15,
    TensorType.Q5_K: 17,
    TensorType.Q6_K: 18,
    TensorType.BF16: 32,
    TensorType.MXFP4: 38,
}
# Types that GGUF has under another name, or in another order of bytes, with the same values.
SAME_IN_GGUF = {TensorType.MXFP4_APART: TensorType.MXFP4}


@dataclass(frozen=True, slots=True)
class Exported:
    """A model in the words of a format, ready for its writer.

    Attributes:
        config: config.json, or GGUF metadata without the vocabulary.
        tensors: in the format's names and order of rows; bytes are made when asked for.
        widened: tensors that could not be stored in the type asked for, since their columns do not fill its blocks.
    """

    config: Mapping[str, Any]
    tensors: list[LazyTensor]
    widened: list[str]


def export(checkpoint: Checkpoint, naming: Naming, dtype: WeightType | None, name: str) -> Exported:
    """Describe a checkpoint's contents in a format's terms.

    Args:
        naming: the format to write: GGUF, or Hugging Face's folder of safetensors.
        dtype: type of the matrices; None keeps what is stored, but that safetensors holds quantised ones as float32.
            Tensors that are stored quantised in as few bits already are kept as they are, where GGUF has their type.
        name: what GGUF should call the model.

    Raises:
        ConfigError: the format cannot hold the model.
        WeightMapError, CheckpointError: the checkpoint is not whole.
    """
    if naming is Naming.HUGGING_FACE and dtype in (WeightType.Q8, WeightType.Q4):
        raise ConfigError(f"safetensors folders hold floats, not {dtype}", hint="export to gguf, or with --dtype f16")
    model = outline(checkpoint)
    locations = locate(model, checkpoint)
    asked = dict(_asked_types(model, naming, dtype))

    def source(parameter: str) -> Tensor:
        return locations[parameter].read(checkpoint, parameter)

    tensors = []
    for tensor in model.weights.tensors(naming, model.config, parameter_shapes(model)):
        kinds = set()
        for member in (member for members in tensor.members for member in members):
            stored = locations[member.parameter].info(checkpoint, member.parameter)
            # The experts' biases make a matrix together, but each is a vector.
            shape = tensor.shape if member.columns else tensor.shape[-1:]
            kinds.add(_target_type(replace(stored, shape=shape), naming, asked[member.parameter]))
        kind = kinds.pop() if len(kinds) == 1 else TensorType.F32
        tensors.append(LazyTensor(TensorInfo(tensor.name, tensor.shape, kind), _loader(tensor, source, kind)))
    quantised = dtype in (WeightType.Q8, WeightType.Q4)
    widened = [tensor.info.name for tensor in tensors if quantised and tensor.info.type is TensorType.F16]
    if naming is Naming.HUGGING_FACE:
        return Exported(to_hugging_face(model.config), tensors, widened)
    metadata = to_gguf(model.config, name) | {
        "general.file_type": FILE_TYPES[_commonest_type(tensors)],
        "general.quantization_version": 2,
    }
    return Exported(metadata, [*tensors, *_factors_tensor(model.config)], widened)


def _asked_types(model: Network, naming: Naming, dtype: WeightType | None) -> Iterator[tuple[str, WeightType | None]]:
    """Every parameter with the type that its leaf makes of `dtype`.

    llama.cpp computes with vectors in float32, and rounds the activations too where it finds a router in 16 bits.
    """
    for path, leaf in model.leaves():
        precise = isinstance(leaf, Vector) or (isinstance(leaf, Linear) and leaf.precision is Precision.AS_STORED)
        kind = WeightType.F32 if precise and naming is Naming.GGUF else leaf.held_as(dtype)
        for name in leaf.parameters():
            yield f"{path}.{name}", kind


def _target_type(stored: TensorInfo, naming: Naming, dtype: WeightType | None) -> TensorType:
    """The type that a tensor is written in."""
    is_float = stored.type in FLOAT_TYPES
    kept = SAME_IN_GGUF.get(stored.type, stored.type)
    if naming is Naming.GGUF and len(stored.shape) == 1:
        return TensorType.F32  # llama.cpp computes norms and biases in float32
    if dtype is None or (len(stored.shape) == 1 and naming is Naming.HUGGING_FACE):
        if (naming is Naming.HUGGING_FACE and not is_float) or kept in ASSEMBLED_TYPES:
            return TensorType.F32  # nothing narrower is sure to hold scale times code
        return TensorType.F32 if stored.type is TensorType.F64 else kept
    wanted = STORED_AS[dtype]
    if wanted in FLOAT_TYPES:
        return wanted
    if keeps_codes(stored.type, dtype) and kept not in ASSEMBLED_TYPES:
        return kept
    return wanted if stored.shape[-1] % BLOCK_COLUMNS == 0 else TensorType.F16


def _loader(
    tensor: StoredTensor, source: Callable[[str], Tensor], kind: TensorType
) -> Callable[[], npt.NDArray[np.uint8]]:
    """Makes the bytes of one tensor when they are written."""

    def load() -> npt.NDArray[np.uint8]:
        whole = tensor.assemble(source).in_blocks()
        return whole.data if whole.info.type is kind else encode(whole.float32(), kind)

    return load


def _factors_tensor(config: ModelConfig) -> Iterator[LazyTensor]:
    """GGUF keeps Llama 3's RoPE scaling as one factor for each frequency."""
    if config.rope is not None and isinstance(config.rope.scaling, Llama3Scaling | FrequencyFactors):
        yield LazyTensor.of(Tensor.from_array("rope_freqs.weight", frequency_factors(config.rope)))


def _commonest_type(tensors: list[LazyTensor]) -> TensorType:
    sizes: dict[TensorType, int] = {}
    for tensor in tensors:
        sizes[tensor.info.type] = sizes.get(tensor.info.type, 0) + tensor.info.elements
    return max(sizes, key=lambda kind: sizes[kind])
