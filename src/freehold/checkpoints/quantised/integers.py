"""Weights of 4 or 8 bits with a scale and a zero point for each group of inputs: value = scale * (code - zero).

Released checkpoints hold them the other way round than we do, inputs by outputs, and pack codes into words of 32 bits.
Some outputs at a time are brought into blocks of 32 inputs. Nothing is lost: scales have at most 11 significant bits
and codes less zero points nine, so that every value is exact in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold.checkpoints.huggingface import HuggingFaceCheckpoint
from freehold.checkpoints.quantised.assembly import piece, scale_values
from freehold.errors import CheckpointError
from freehold.tensors import BLOCK_FORMATS, Float32Array, Tensor, TensorInfo, TensorType

Bytes = npt.NDArray[np.uint8]
Int16Array = npt.NDArray[np.int16]
Int64Array = npt.NDArray[np.int64]

GROUP = 32
SCALE_TYPES = (TensorType.F16, TensorType.BF16)

# Codes brought into blocks at a time.
CHUNK_ELEMENTS = 1 << 21


@dataclass(frozen=True, slots=True)
class Some:
    """Codes of some outputs.

    Attributes:
        codes: as in `Contents`.
        scales, zeros: [outputs, inputs / 32], or [outputs, inputs] where neighbours do not share them.
    """

    codes: Bytes
    scales: Float32Array
    zeros: Int16Array


@dataclass(frozen=True, slots=True)
class Module:
    """The names of what one linear layer is stored in, and its sizes.

    Attributes:
        name: of the layer; `.qweight` and the like follow it.
        words, zeros, scales: its pieces.
        inputs, outputs: of the layer.
        group_size: inputs that share a scale and a zero point.
    """

    name: str
    words: TensorInfo
    zeros: TensorInfo
    scales: TensorInfo
    inputs: int
    outputs: int
    group_size: int

    @property
    def weight(self) -> str:
        """What a model calls the weight."""
        return f"{self.name}.weight"

    @property
    def groups(self) -> int:
        """How many groups the inputs are in."""
        return -(-self.inputs // self.group_size)

    @property
    def group_of_blocks(self) -> Int64Array:
        """The group of each 32 inputs, where neighbours share one."""
        return np.arange(self.inputs // GROUP) // (self.group_size // GROUP)


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in the pieces of a layer.

    Attributes:
        codes: gives those of outputs from a first to before a last one, as the type wants them: for blocks of 4 bits
            [blocks, 16], the first 16 inputs in the low halves; of 8 bits [blocks, 32]; for floats [outputs, inputs].
        zeros: [groups, outputs].
        groups: for each 32 inputs, or for each input, the group that it belongs to.
    """

    codes: Callable[[int, int], Bytes]
    zeros: Int16Array
    groups: Int64Array


def names_of_modules(stored: HuggingFaceCheckpoint) -> list[str]:
    """The layers whose weights are quantised."""
    return [name.removesuffix(".qweight") for name in stored.tensors if name.endswith(".qweight")]


def module_pieces(stored: HuggingFaceCheckpoint, name: str) -> tuple[TensorInfo, TensorInfo, TensorInfo]:
    """Words, zero points and scales of a layer, each of two dimensions.

    Raises:
        CheckpointError: one is absent, empty, of another type or no matrix.
    """
    whole = f"{name}.qweight"
    found = (
        piece(stored, whole, whole, TensorType.I32),
        piece(stored, f"{name}.qzeros", whole, TensorType.I32),
        piece(stored, f"{name}.scales", whole, *SCALE_TYPES),
    )
    for info in found:
        if len(info.shape) != 2:
            raise CheckpointError(
                f"tensor {info.name!r} has shape {list(info.shape)}; expected two dimensions",
                hint="the model's files are damaged, or of a version that we do not know",
            )
    return found


def size_of_groups(words: TensorInfo, inputs: int, group_size: int | None) -> int:
    """The inputs that share a scale, after checking that inputs fill blocks of 32."""
    if inputs % GROUP:
        raise CheckpointError(
            f"tensor {words.name!r} has {inputs} inputs; expected a multiple of {GROUP}",
            hint="use the float weights of this model, or a GGUF file",
        )
    return inputs if group_size is None else min(group_size, inputs)


def load(stored: HuggingFaceCheckpoint, module: Module, info: TensorInfo, contents: Contents) -> Tensor:
    """Put a weight together.

    Args:
        info: what it becomes: Q4_0 or Q8_0 (zero points of 8 or 128, float16 scales), UINT4, UINT8, or F32, for which
            `contents.groups` is for each input.

    Raises:
        CheckpointError: a zero point does not fit the type, or a scale is not finite.
    """
    zeros, groups = contents.zeros, contents.groups
    _check_zeros(module, info.type, zeros)
    scales = scale_values(stored, module.scales)
    block = BLOCK_FORMATS[info.type]
    data = np.empty((module.outputs, module.inputs // block.elements * block.bytes), np.uint8)
    step = max(CHUNK_ELEMENTS // module.inputs, 1)
    for first in range(0, module.outputs, step):
        last = min(first + step, module.outputs)
        some = Some(contents.codes(first, last), scales[:, first:last].T[:, groups], zeros[:, first:last].T[:, groups])
        data[first:last] = _ENCODERS[info.type](some).reshape(last - first, -1)
    return Tensor(info, data.reshape(-1))


def _check_zeros(module: Module, kind: TensorType, zeros: Int16Array) -> None:
    least, most = _ZEROS.get(kind, (0, 255))
    if not least <= zeros.min() <= zeros.max() <= most:
        raise CheckpointError(
            f"tensor {module.zeros.name!r} has zero points from {zeros.min()} to {zeros.max()}; "
            f"expected {f'{least} to {most}' if least < most else f'{least}, since config.json says `sym`'}",
            hint="the model's files and its config.json do not belong together",
        )


def _q4_0(some: Some) -> Bytes:
    return _joined(_halves(some.scales), some.codes)


def _q8_0(some: Some) -> Bytes:
    return _joined(_halves(some.scales), some.codes - np.uint8(128))


def _unsigned(some: Some) -> Bytes:
    return _joined(_floats(some.scales), _one_byte(some.zeros), some.codes)


def _f32(some: Some) -> Bytes:
    values = (some.codes.astype(np.int16) - some.zeros).astype("<f4") * some.scales
    return values.view(np.uint8)


_ENCODERS: Mapping[TensorType, Callable[[Some], Bytes]] = {
    TensorType.Q4_0: _q4_0,
    TensorType.Q8_0: _q8_0,
    TensorType.UINT4: _unsigned,
    TensorType.UINT8: _unsigned,
    TensorType.F32: _f32,
}
_ZEROS = {TensorType.Q4_0: (8, 8), TensorType.Q8_0: (128, 128)}


def _joined(*columns: Bytes) -> Bytes:
    return np.concatenate(columns, axis=1)


def _halves(scales: Float32Array) -> Bytes:
    return scales.reshape(-1, 1).astype("<f2").view(np.uint8)


def _floats(scales: Float32Array) -> Bytes:
    return scales.reshape(-1, 1).astype("<f4").view(np.uint8)


def _one_byte(zeros: Int16Array) -> Bytes:
    return zeros.reshape(-1, 1).astype(np.uint8)
