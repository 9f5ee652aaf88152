"""Whether a model's weights are read as they were packed before, or kept as they are packed now."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from freehold.checkpoints.base import Checkpoint
from freehold.errors import CheckpointError
from freehold.ops.native.sizes import held_bytes
from freehold.packed import folder as packed_folder
from freehold.packed.identity import key_of, sources
from freehold.packed.layout import SUFFIX
from freehold.packed.reading import PackedReader
from freehold.packed.writing import PackedWriter
from freehold.tensors import READABLE_TYPES, TensorInfo, WeightType

# A smaller model is packed before its packed weights would be found.
SMALLEST_BYTES = 32 << 20

logger = logging.getLogger("freehold.packed")


@contextmanager
def packed_weights(
    checkpoint: Checkpoint, dtype: WeightType | None, folder: Path
) -> Iterator[PackedReader | PackedWriter | None]:
    """Where the packed weights of a checkpoint come from, while they are loaded.

    Args:
        dtype: what the linear weights are to be held in.
        folder: the folder of packed weights; made where it is not there.

    Returns:
        A reader where they were packed before, else a writer that keeps them when the block ends; None where they are
        not kept: because that is turned off, the model is small, or there is no room.
    """
    if sum(file.size for file in checkpoint.files) < SMALLEST_BYTES or packed_folder.limit_bytes() == 0:
        yield None
        return
    path = folder / f"{key_of(checkpoint, dtype)}{SUFFIX}"
    reader = _reader(path)
    if reader is not None:
        packed_folder.touch(path)
        yield reader
        return
    writer = _writer(path, checkpoint, dtype)
    if writer is None:
        yield None
        return
    try:
        yield writer
        writer.finish()
    finally:
        writer.close()


def _reader(path: Path) -> PackedReader | None:
    try:
        return PackedReader(path)
    except FileNotFoundError:
        return None
    except CheckpointError as error:
        logger.warning("packed weights are damaged and made again: %s: %s", path, error)
    except OSError as error:
        logger.warning("packed weights cannot be read: %s: %s", path, error.strerror or error)
    return None


def _writer(path: Path, checkpoint: Checkpoint, dtype: WeightType | None) -> PackedWriter | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        problem = packed_folder.make_room(path.parent, _estimate(checkpoint, dtype))
        if problem is None:
            return PackedWriter(path, sources(checkpoint))
    except OSError as error:
        problem = f"{path.parent}: {error.strerror or error}"
    logger.warning("packed weights are not kept, so that every start packs them: %s", problem)
    return None


def _estimate(checkpoint: Checkpoint, dtype: WeightType | None) -> int:
    """About how many bytes the packed weights take."""
    tensors = [info for info in checkpoint.tensors.values() if info.type in READABLE_TYPES]
    return sum(held_bytes(_as_matrix(info), dtype) for info in tensors)


def _as_matrix(info: TensorInfo) -> TensorInfo:
    """Experts that lie in one tensor as the rows that they are."""
    return replace(info, shape=(info.elements // info.shape[-1], info.shape[-1])) if len(info.shape) > 2 else info
