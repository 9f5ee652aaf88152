"""FP8: bytes that are floats of the kind E4M3, and a float32 scale for each 128 columns of a row.

E4M3 has a sign, four bits of exponent with a bias of 7 and three of fraction; no infinities, and one NaN of each sign
(Micikevicius et al. 2022, FP8 formats for deep learning, section 3). A value is its float times its scale.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from freehold.tensors.grouped import Float32Array
from freehold.tensors.types import FP8_GROUP


def dequantised(codes: npt.NDArray[np.uint8], scales: Float32Array) -> Float32Array:
    """Values [rows, columns] of codes [rows, columns] with scales [rows, columns / 128 rounded up]."""
    values = _VALUES[codes]
    for group in range(scales.shape[1]):
        values[:, group * FP8_GROUP : (group + 1) * FP8_GROUP] *= scales[:, group, None]
    return values


def _values() -> Float32Array:
    codes = np.arange(256)
    exponents, fractions = codes >> 3 & 15, codes & 7
    # Without an exponent there is no leading one, and the exponent counts as 1.
    magnitudes = np.ldexp(np.where(exponents > 0, 8 + fractions, fractions), np.maximum(exponents, 1) - 10)
    magnitudes[codes & 0x7F == 0x7F] = np.nan
    values: Float32Array = np.where(codes < 128, magnitudes, -magnitudes).astype(np.float32)
    return values


_VALUES = _values()
