"""Random weights written directly in the types of GGUF, with values as large as those of trained models.

The layouts of the blocks are those of ggml-common.h; `freehold.tensors.unpack` reads the same ones. A tensor repeats a
pool of random blocks: neither memory nor arithmetic can tell, and gigabytes are written as fast as the disk takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from freehold.tensors import BLOCK_FORMATS, TensorInfo, TensorType

Bytes: TypeAlias = npt.NDArray[np.uint8]

# Prime, so that rows do not repeat themselves after a few.
POOL_BLOCKS = 8191
# Standard deviation of a weight.
DEVIATION = 0.02
# By type the bytes at which scales begin, and about the deviation of a code times its scale's integer part.
_SCALES: Mapping[TensorType, tuple[int, float]] = {
    TensorType.Q4_0: (0, 4.6),
    TensorType.Q5_0: (0, 9.2),
    TensorType.Q8_0: (0, 74.0),
    TensorType.Q4_K: (0, 265.0),
    TensorType.Q6_K: (208, 780.0),
}
# Q4_K: weight = scale x code - least, where both have 6 bits; codes are 7.5 on average, so this centres them at zero.
_Q4_K_LEAST = 7.5
# Q6_K keeps a signed byte for each 16 columns behind 192 bytes of codes.
_Q6_K_SCALES = slice(192, 208)


class BlockPool:
    """Bytes of random tensors, the same ones for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._pools: dict[TensorType, Bytes] = {}

    def bytes_of(self, info: TensorInfo) -> Bytes:
        """Random contents for a tensor: F32, F16 or one of the quantised types above.

        Returns:
            [info.bytes] uint8.
        """
        if info.type is TensorType.F32:
            return self._floats(info.elements).view(np.uint8)
        size = BLOCK_FORMATS[info.type].bytes
        pool = self._pools.setdefault(info.type, self._pool(info.type))
        start = int(self._random.integers(POOL_BLOCKS)) * size
        return np.resize(np.roll(pool, -start), info.bytes)

    def _floats(self, count: int) -> npt.NDArray[np.float32]:
        return self._random.standard_normal(count, np.float32) * np.float32(DEVIATION)

    def _pool(self, kind: TensorType) -> Bytes:
        if kind is TensorType.F16:
            return self._floats(POOL_BLOCKS).astype("<f2").view(np.uint8)
        if kind not in _SCALES:
            raise ValueError(f"no random blocks of {kind}; expected F32, F16 or one of {', '.join(_SCALES)}")
        blocks = self._random.integers(0, 256, (POOL_BLOCKS, BLOCK_FORMATS[kind].bytes), np.uint8)
        place, spread = _SCALES[kind]
        scales = self._random.uniform(0.7, 1.3, POOL_BLOCKS) * DEVIATION / spread
        blocks[:, place : place + 2] = _half(scales)
        if kind is TensorType.Q4_K:
            blocks[:, place + 2 : place + 4] = _half(scales * _Q4_K_LEAST)
        if kind is TensorType.Q6_K:
            blocks[:, _Q6_K_SCALES] = self._random.integers(16, 64, (POOL_BLOCKS, 16), np.uint8)
        return blocks.reshape(-1)


def _half(values: npt.NDArray[np.float64]) -> Bytes:
    return values.astype("<f2").reshape(-1, 1).view(np.uint8)
