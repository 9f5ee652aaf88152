"""Packed weights as records: what JSON says about a weight, and the arrays that lie in the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from freehold import _kernels

PackedWeight: TypeAlias = _kernels.LinearWeight | _kernels.ExpertsWeight
AnyArray: TypeAlias = npt.NDArray[Any]

# Puts an array into the file and says where: its first byte, type and number of elements; and the way back.
Put = Callable[[AnyArray], list[Any]]
Get = Callable[[list[Any]], AnyArray]

TYPES: Mapping[str, type[np.generic]] = {
    "uint8": np.uint8,
    "float16": np.float16,
    "float32": np.float32,
}


def listed(parameters: Mapping[str, tuple[int, ...]]) -> list[list[Any]]:
    """Names and shapes as JSON gives them back."""
    return [[name, list(shape)] for name, shape in parameters.items()]


def to_record(weight: PackedWeight, put: Put) -> dict[str, Any]:
    """Describe a weight, whose arrays go where `put` puts them."""
    if isinstance(weight, _kernels.ExpertsWeight):
        return {"experts": [_linear_record(expert, put) for expert in weight.experts]}
    return _linear_record(weight, put)


def from_record(record: Mapping[str, Any], get: Get) -> PackedWeight:
    """The weight that a record describes, over the arrays that `get` finds.

    Raises:
        KeyError, TypeError, ValueError: it describes none.
    """
    if "experts" in record:
        return _kernels.ExpertsWeight([_linear(expert, get) for expert in record["experts"]])
    return _linear(record, get)


def _linear_record(weight: _kernels.LinearWeight, put: Put) -> dict[str, Any]:
    return {
        "parts": [_matrix_record(part, put) for part in weight.parts],
        "biases": [None if bias is None else put(bias) for bias in weight.biases],
    }


def _matrix_record(matrix: _kernels.Matrix, put: Put) -> dict[str, Any]:
    return {
        "format": matrix.format,
        "rows": matrix.rows,
        "columns": matrix.columns,
        "codes": put(matrix.codes),
        "scales": None if matrix.scales is None else put(matrix.scales),
        "minimums": None if matrix.minimums is None else put(matrix.minimums),
        "offset": matrix.offset,
    }


def _linear(record: Mapping[str, Any], get: Get) -> _kernels.LinearWeight:
    biases = [None if place is None else get(place) for place in record["biases"]]
    return _kernels.LinearWeight([_matrix(part, get) for part in record["parts"]], biases)


def _matrix(record: Mapping[str, Any], get: Get) -> _kernels.Matrix:
    arrays = {name: None if record[name] is None else get(record[name]) for name in ("codes", "scales", "minimums")}
    return _kernels.Matrix(**{**record, **arrays})
