"""The arrays that operations return, also while what they do is captured as a graph."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt

from freehold import _kernels

Float32Array = npt.NDArray[np.float32]


class Capture:
    """What is known of a capture in progress.

    Args:
        arena: where the arrays of its operations lie.

    Attributes:
        spoiled: whether Python has looked at values, or made some that no operation of the graph will make again.
    """

    def __init__(self, arena: _kernels.Arena) -> None:
        self.arena = arena
        self.spoiled = False


class _Thread(threading.local):
    capture: Capture | None = None


_thread = _Thread()


@contextmanager
def capturing(capture: Capture) -> Iterator[None]:
    """Have what this thread asks for from `empty` be the capture's."""
    _thread.capture = capture
    try:
        yield
    finally:
        _thread.capture = None


def empty(shape: tuple[int, ...]) -> Float32Array:
    """An uninitialised array of float32 for an operation to write to."""
    capture = _thread.capture
    if capture is None:
        return np.empty(shape, np.float32)
    return capture.arena.empty(shape).view(Watched)


def _spoil() -> None:
    if _thread.capture is not None:
        _thread.capture.spoiled = True


def _spoiling(method: Callable[..., Any]) -> Any:
    @wraps(method)
    def spoils(*arguments: Any) -> Any:
        _spoil()
        return method(*arguments)

    return spoils


# What says nothing about an array's values, besides what Python itself and the extension ask for.
_HARMLESS = frozenset({"shape", "ndim", "size", "dtype", "strides", "itemsize", "nbytes", "reshape", "view"})


class Watched(np.ndarray[Any, Any]):
    """An array of a step that is being captured.

    It can be cut and reshaped, which gives the same addresses in every step. Anything else that NumPy can do with it
    works as ever, but spoils the capture: a graph would not do it again. `np.asarray` and memoryviews go unnoticed,
    so a model must not use them.
    """

    def __getattribute__(self, name: str) -> Any:
        if name not in _HARMLESS and not name.startswith("__"):
            _spoil()
        return super().__getattribute__(name)

    def __getitem__(self, key: Any) -> Any:
        return _cut(self, super().__getitem__(key))

    def reshape(self, *shape: Any, **options: Any) -> Any:
        return _cut(self, super().reshape(*shape, **options))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        _spoil()
        if options.get("out"):
            options["out"] = tuple(_plain(array) for array in options["out"])
        return getattr(ufunc, method)(*(_plain(array) for array in inputs), **options)

    __array_function__ = _spoiling(np.ndarray.__array_function__)
    __setitem__ = _spoiling(np.ndarray.__setitem__)
    __bool__ = _spoiling(np.ndarray.__bool__)
    __int__ = _spoiling(np.ndarray.__int__)
    __float__ = _spoiling(np.ndarray.__float__)
    __index__ = _spoiling(np.ndarray.__index__)


def _cut(array: Watched, result: Any) -> Any:
    """What was made of an array, if it is a view of it; else it spoils the capture besides."""
    if not isinstance(result, Watched) or (result.size and not np.may_share_memory(_plain(result), _plain(array))):
        _spoil()
    return result


def _plain(array: Any) -> Any:
    return array.view(np.ndarray) if isinstance(array, Watched) else array
