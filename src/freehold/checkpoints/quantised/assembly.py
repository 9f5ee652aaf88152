"""A tensor that a checkpoint keeps in pieces, and what reading the pieces takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from freehold.checkpoints.huggingface import HuggingFaceCheckpoint
from freehold.errors import CheckpointError
from freehold.tensors import FLOAT_TYPES, Float32Array, Tensor, TensorInfo, TensorType

BELONG_TOGETHER = "the files belong to different models, or config.json does not describe them; download them again"


@dataclass(frozen=True, slots=True)
class Assembly:
    """One tensor as a model asks for it.

    Attributes:
        info: its name, shape and type.
        pieces: names of the stored tensors that it is made of.
        load: makes it; the bytes stay in the file where they can.
    """

    info: TensorInfo
    pieces: tuple[str, ...]
    load: Callable[[], Tensor]


@dataclass(frozen=True, slots=True)
class Found:
    """What a method makes of a checkpoint.

    Attributes:
        assemblies: the quantised tensors.
        dropped: stored tensors that we do without on purpose.
    """

    assemblies: list[Assembly]
    dropped: set[str] = field(default_factory=set)


def piece(stored: HuggingFaceCheckpoint, name: str, of: str, *types: TensorType) -> TensorInfo:
    """A stored tensor that belongs to another, checked to be there and to have one of some types.

    Raises:
        CheckpointError: it is absent, empty, or of another type.
    """
    info = stored.tensors.get(name)
    if info is None:
        raise CheckpointError(f"{stored.path.name} has {of!r}, but no {name!r}", hint=BELONG_TOGETHER)
    if info.type not in types:
        expected = " or ".join(types)
        raise CheckpointError(f"tensor {name!r} is stored as {info.type}; expected {expected}", hint=BELONG_TOGETHER)
    if not info.elements:
        raise CheckpointError(f"tensor {name!r} of shape {info.shape} is empty", hint=BELONG_TOGETHER)
    return info


def check_shape(info: TensorInfo, *expected: tuple[int, ...], of: TensorInfo) -> None:
    """Refuse a piece whose shape does not fit the tensor it belongs to."""
    if info.shape not in expected:
        shapes = " or ".join(str(list(shape)) for shape in expected)
        raise CheckpointError(
            f"tensor {info.name!r} has shape {list(info.shape)}; expected {shapes}, "
            f"since {of.name!r} has {list(of.shape)}",
            hint=BELONG_TOGETHER,
        )


def scale_values(stored: HuggingFaceCheckpoint, info: TensorInfo) -> Float32Array:
    """Scales as float32 in the stored shape.

    Raises:
        CheckpointError: one of them is NaN or infinite.
    """
    if info.type in FLOAT_TYPES:
        values = stored.read(info.name).float32()
    else:  # F8_E8M0: powers of two, where 255 stands for NaN
        exponents = stored.raw(info.name).astype(np.int32).reshape(info.shape)
        powers = np.ldexp(np.float32(1), np.minimum(exponents, 254) - 127)
        values = np.where(exponents == 255, np.float32(np.nan), powers)
    if not np.isfinite(values).all():
        bad = values[~np.isfinite(values)][0]
        raise CheckpointError(
            f"tensor {info.name!r} has a scale of {bad}; expected finite numbers", hint="the weights are damaged"
        )
    return np.asarray(values, np.float32)


def words(stored: HuggingFaceCheckpoint, info: TensorInfo) -> npt.NDArray[np.uint32]:
    """A stored I32 tensor as unsigned words in its shape, still in the file."""
    return stored.raw(info.name).view("<u4").reshape(info.shape)
