"""Orders of rows: where checkpoints keep the rows of our parameters elsewhere than we do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from freehold.models.config import ModelConfig

Int64Array: TypeAlias = npt.NDArray[np.int64]
# Gives for a model and a number of rows the order they are stored in: stored row r is row order[r] of ours.
Order: TypeAlias = Callable[[ModelConfig, int], Int64Array]


def halves_from_pairs(rows: int, head_dim: int) -> Int64Array:
    """Order that takes rows paired as (0, 1), (2, 3)... within each head to first and second halves."""
    order = np.arange(rows).reshape(rows // head_dim, head_dim // 2, 2)
    result: Int64Array = order.transpose(0, 2, 1).reshape(rows)
    return result


def pairs_from_halves(rows: int, head_dim: int) -> Int64Array:
    """The inverse of `halves_from_pairs`."""
    return np.argsort(halves_from_pairs(rows, head_dim))


def heads_in_pairs(config: ModelConfig, rows: int) -> Int64Array:
    """Stored for a rotation of neighbouring features, where ours turns feature i with i + head_dim / 2."""
    return pairs_from_halves(rows, config.head_dim)


def interleaved_parts(config: ModelConfig, rows: int) -> Int64Array:
    """Two stacked parts stored row by row in turn: first of the one, first of the other, second of the one..."""
    result: Int64Array = np.arange(rows).reshape(2, rows // 2).T.reshape(rows)
    return result
