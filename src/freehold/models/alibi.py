"""Attention with linear biases."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def alibi_slopes(heads: int) -> npt.NDArray[np.float32]:
    """The slope of each head, [heads] float32 (Press et al. 2022).

    For a power of two, a geometric sequence that begins with its own ratio, 2^(-8 / heads). Other numbers take the
    slopes of the power of two below, then every other one of the power of two above.
    """
    below = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8.0 * number / below) for number in range(1, below + 1)]
    slopes += [2.0 ** (-8.0 * number / (2 * below)) for number in range(1, 2 * (heads - below), 2)]
    return np.array(slopes, np.float32)
