"""Random bytes of GGUF's block formats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from freehold.tensors import BLOCK_FORMATS, Tensor, TensorInfo, TensorType

# Where each block format keeps its float16 numbers.
HALVES: dict[TensorType, tuple[int, ...]] = {
    TensorType.Q8_0: (0,),
    TensorType.Q4_0: (0,),
    TensorType.Q4_1: (0, 2),
    TensorType.Q5_0: (0,),
    TensorType.Q5_1: (0, 2),
    TensorType.Q4_K: (0, 2),
    TensorType.Q5_K: (0, 2),
    TensorType.Q6_K: (208,),
    TensorType.MXFP4: (),
}
# Bytes that are a scale by themselves, of which 255 is not a number.
EXPONENTS: dict[TensorType, int] = {TensorType.MXFP4: 0}


def random_tensor(kind: TensorType, shape: tuple[int, ...], seed: int = 0, *, finite: bool = True) -> Tensor:
    """A tensor of random bytes; when finite, its scales and minimums are neither NaN nor infinite.

    For types that have no such numbers, or keep them elsewhere, the bytes are just random.
    """
    generator = np.random.default_rng(seed)
    info = TensorInfo("random", shape, kind)
    blocks = generator.integers(0, 256, (info.bytes // BLOCK_FORMATS[kind].bytes, BLOCK_FORMATS[kind].bytes), np.uint8)
    for start in HALVES.get(kind, ()) if finite else ():
        blocks[:, start : start + 2] = _finite_halves(generator, len(blocks)).view(np.uint8)
    if kind in EXPONENTS:
        # Scales up to 2^124, with which the largest of the values is still finite.
        blocks[:, EXPONENTS[kind]] %= 252
    return Tensor(info, blocks.reshape(-1))


def _finite_halves(generator: np.random.Generator, count: int) -> npt.NDArray[np.float16]:
    """All bit patterns but those of NaN and infinity, as [count, 1]: subnormals and both zeros too."""
    magnitudes = generator.integers(0, 0x7C00, (count, 1), np.uint16)
    signs = generator.integers(0, 2, (count, 1), np.uint16) << np.uint16(15)
    halves: npt.NDArray[np.float16] = (magnitudes | signs).view(np.float16)
    return halves
