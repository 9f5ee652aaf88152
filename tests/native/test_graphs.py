"""Captured calls, made again."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold import _kernels

Float32Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@contextmanager
def capture(graph: _kernels.Graph) -> Iterator[None]:
    graph.begin()
    try:
        yield
    finally:
        graph.end()


def ones(*shape: int) -> Float32Array:
    return np.ones(shape, np.float32)


def weight(value: float) -> _kernels.LinearWeight:
    """[16, 32], all of one value."""
    codes = _kernels.empty(_kernels.packed_bytes("f32", 16, 32))
    codes.view(np.float32)[:] = value
    return _kernels.LinearWeight([_kernels.Matrix("f32", 16, 32, codes)])


def test_a_replay_makes_the_same_calls_with_what_the_arrays_hold_by_then() -> None:
    graph = _kernels.Graph(_kernels.Arena())
    x, y = ones(2, 8), ones(2, 8)
    with capture(graph):
        _kernels.add(x, y)
        _kernels.scale(x, 10.0)
    assert graph.calls == 2
    assert (x == 20).all()
    y[:] = 3
    graph.replay()
    assert (x == 230).all()
    graph.replay()
    assert (x == 2330).all()


def test_calls_before_and_after_the_capture_are_not_made_again() -> None:
    graph = _kernels.Graph(_kernels.Arena())
    x = ones(1, 8)
    _kernels.scale(x, 2.0)
    with capture(graph):
        pass
    _kernels.scale(x, 2.0)
    graph.replay()
    assert graph.calls == 0
    assert (x == 4).all()


def test_calls_of_other_threads_are_not_captured() -> None:
    graph = _kernels.Graph(_kernels.Arena())
    x = ones(1, 8)
    with capture(graph):
        other = threading.Thread(target=_kernels.scale, args=(x, 2.0))
        other.start()
        other.join()
    assert graph.calls == 0
    assert (x == 2).all()


def test_arrays_and_weights_live_as_long_as_the_graph() -> None:
    graph = _kernels.Graph(_kernels.Arena())
    out = ones(1, 16)
    with capture(graph):
        _kernels.linear(ones(1, 32), weight(0.5), out)
    gc.collect()
    rubbish = [weight(9.0) for _ in range(20)], [ones(1, 32) * 9 for _ in range(20)]
    out[:] = 0
    graph.replay()
    assert (out == 16).all()
    del rubbish


def test_what_is_checked_at_the_call_is_checked_at_every_replay() -> None:
    graph = _kernels.Graph(_kernels.Arena())
    x, rows, out = ones(3, 4), np.array([2, 0], np.int32), ones(2, 4)
    with capture(graph):
        _kernels.select_rows(x, rows, out)
    rows[1] = 3
    with pytest.raises(ValueError, match=r"rows\[1\] is 3, but x has 3 rows"):
        graph.replay()
    rows[1] = 1
    graph.replay()


def test_a_graph_is_captured_once_and_one_at_a_time() -> None:
    graph, other = (_kernels.Graph(_kernels.Arena()) for _ in range(2))
    with pytest.raises(ValueError, match="does not capture this graph"):
        graph.end()
    with capture(graph):
        with pytest.raises(ValueError, match="captures another graph already"):
            other.begin()
        with pytest.raises(ValueError, match="does not capture this graph"):
            other.end()
        _kernels.scale(ones(1, 8), 2.0)
        with pytest.raises(ValueError, match="cannot be replayed while"):
            other.replay()
    with pytest.raises(ValueError, match="captured already, with 1 calls"):
        graph.begin()


def test_a_graph_that_another_thread_captures_is_neither_replayed_nor_captured() -> None:
    graph = _kernels.Graph(_kernels.Arena())
    refusals = list[str]()

    def try_both() -> None:
        for call in (graph.replay, graph.begin, graph.end):
            try:
                call()
            except ValueError as error:
                refusals.append(str(error))

    with capture(graph):
        _kernels.scale(ones(1, 8), 2.0)
        other = threading.Thread(target=try_both)
        other.start()
        other.join()
    assert refusals == [
        "a graph cannot be replayed while another thread captures it",
        "another thread captures the graph",
        "this thread does not capture this graph",
    ]
    graph.replay()


def test_a_thread_holds_the_graph_that_it_captures() -> None:
    graph = _kernels.Graph(_kernels.Arena())
    holders = sys.getrefcount(graph)
    graph.begin()
    assert sys.getrefcount(graph) == holders + 1
    graph.end()
    assert sys.getrefcount(graph) == holders


def test_memory_is_handed_out_again_once_no_array_lies_in_it() -> None:
    arena = _kernels.Arena()
    first = arena.empty((4, 8))
    part = first[1:, :4]
    address = first.ctypes.data
    del first
    assert arena.empty((4, 8)).ctypes.data != address
    del part
    assert arena.empty((2, 8)).ctypes.data == address


def test_a_borrowed_array_does_not_keep_its_memory_from_others() -> None:
    arena = _kernels.Arena()
    array = arena.empty((2, 3))
    array[:] = [[1, 2, 3], [4, 5, 6]]
    borrowed = arena.borrowed(array)
    address = array.ctypes.data
    assert np.array_equal(borrowed, array)
    del array
    again = arena.empty((2, 3))
    assert again.ctypes.data == address
    again[:] = 7
    del arena, again
    assert (borrowed == 7).all()


def test_only_what_lies_in_an_arena_is_borrowed_from_it() -> None:
    arena = _kernels.Arena()
    for foreign in (ones(3), _kernels.Arena().empty((3,))):
        with pytest.raises(ValueError, match="does not lie in this arena"):
            arena.borrowed(foreign)
    assert arena.borrowed(arena.empty((0, 4))).shape == (0, 4)


def test_a_borrowed_array_may_be_cut_out_of_a_larger_one() -> None:
    arena = _kernels.Arena()
    array = arena.empty((3, 4))
    array[:] = np.arange(12).reshape(3, 4)
    assert np.array_equal(arena.borrowed(array[1:, ::2]), [[4, 6], [8, 10]])


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=30))
def test_arrays_of_an_arena_never_overlap(wanted: list[tuple[int, bool]]) -> None:
    arena = _kernels.Arena()
    alive = list[tuple[Float32Array, int]]()
    for number, (size, forgets) in enumerate(wanted):
        array = arena.empty((size,))
        array[:] = number
        alive.append((array, number))
        if forgets:
            del alive[len(alive) // 2]
        del array
        assert all((one == value).all() for one, value in alive)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1 << 20, 0)])
def test_arrays_without_rows_or_dimensions(shape: tuple[int, ...]) -> None:
    assert _kernels.Arena().empty(shape).shape == shape


@pytest.mark.parametrize("shape", [(1 << 40, 2), (1 << 62,), (1 << 30, 1 << 30, 1 << 30)])
def test_arrays_that_are_too_large_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a size of the array is"):
        _kernels.Arena().empty(shape)
