"""MXFP4: floats of four bits in groups of 32 that share a power of two.

A float has a sign, two bits of exponent and one of fraction: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives. Twice such
a float is an integer. A group's scale is a byte e that stands for 2^(e - 127), and 255 for NaN (Open Compute Project,
Microscaling Formats, 2023).

GGUF's blocks hold e and then 16 bytes: the low halves are columns 0-15, the high ones columns 16-31. Safetensors hold
the scales in a tensor of their own, and the low halves are the even columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from freehold.errors import CheckpointError

Bytes = npt.NDArray[np.uint8]

GROUP = 32
BLOCK_BYTES = 17
NOT_A_NUMBER = 255
LOW_HALVES = np.uint64(0x0F0F0F0F0F0F0F0F)

# What a nibble stands for, twice.
TWICE_VALUES = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.int8)


def joined(codes: Bytes, scales: Bytes) -> Bytes:
    """GGUF's blocks for codes and scales that lie apart; a matter of order only.

    Args:
        codes: [bytes], two columns in each.
        scales: of any shape, one for 16 bytes of the codes.
    """
    pairs = codes.reshape(-1, GROUP // 2)
    blocks = np.empty((len(pairs), BLOCK_BYTES), np.uint8)
    blocks[:, 0] = scales.reshape(-1)
    blocks[:, 1:] = halves_from_pairs(pairs)
    return blocks.reshape(-1)


def halves_from_pairs(pairs: Bytes) -> Bytes:
    """Bytes [blocks, 16] of two neighbouring columns -> with columns 0-15 in the low halves, the others in the high.

    Eight bytes at a time: bytes 0-7 hold columns 0-15, bytes 8-15 the others.
    """
    words = np.ascontiguousarray(pairs).view("<u8")
    first, second = words[:, 0], words[:, 1]
    halves = np.empty((len(pairs), 8, 2), np.uint8)
    halves[:, :, 0] = (first & LOW_HALVES | (second & LOW_HALVES) << np.uint64(4)).view(np.uint8).reshape(-1, 8)
    halves[:, :, 1] = (first >> np.uint64(4) & LOW_HALVES | second & ~LOW_HALVES).view(np.uint8).reshape(-1, 8)
    return halves.reshape(-1, GROUP // 2)


def nibbles_and_scales(data: Bytes) -> tuple[Bytes, Bytes]:
    """GGUF's blocks [bytes] -> nibbles [elements], one to a byte, and scales [elements / 32], still as bytes."""
    blocks = data.reshape(-1, BLOCK_BYTES)
    nibbles = np.empty((len(blocks), GROUP), np.uint8)
    np.bitwise_and(blocks[:, 1:], np.uint8(15), out=nibbles[:, : GROUP // 2])
    np.right_shift(blocks[:, 1:], np.uint8(4), out=nibbles[:, GROUP // 2 :])
    return nibbles.reshape(-1), np.ascontiguousarray(blocks[:, 0])


def check_scales(name: str, scales: Bytes) -> None:
    """Refuse scales that are NaN. The name is for the message."""
    if (scales == NOT_A_NUMBER).any():
        raise CheckpointError(
            f"tensor {name!r} has an MXFP4 scale of {NOT_A_NUMBER}, which stands for NaN",
            hint="the weights are damaged; download the model again",
        )
