"""Steps that are captured and repeated on the native backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.ops.base import AttentionCache, AttentionRules
from freehold.ops.batch import Batch
from freehold.ops.native import NativeLayerCache, NativeOps
from freehold.ops.native import graphs as graphs_module
from freehold.ops.native.graphs import LEAST_BLOCKS, MOST_ROWS, GraphedForward
from freehold.tensors import Tensor

FEATURES, VOCABULARY = 32, 16
Array = np.ndarray[Any, np.dtype[np.float32]]
Look = Callable[[Any], object]

ops = NativeOps()
numbers = np.random.default_rng(0)
table = ops.pack_linear(
    [Tensor.from_array("table", numbers.standard_normal((VOCABULARY, FEATURES), np.float32))], None, None
)


class Model:
    """A layer of attention between an embedding and a head, which may look at what passes through it.

    Attributes:
        asked: how often it was.
    """

    def __init__(self, blocks: int, look: Look | None = None, look_at_batch: Look | None = None) -> None:
        (cache,) = ops.create_cache([AttentionCache(2, 8)], blocks, 16)
        assert isinstance(cache, NativeLayerCache)
        self.cache = cache
        self.look, self.look_at_batch = look, look_at_batch
        self.asked = 0

    def __call__(self, batch: Batch) -> Array:
        self.asked += 1
        x = ops.embed(table, batch.token_ids)
        heads = x.reshape(-1, 4, 8)
        mixed = ops.attention(
            heads,
            heads[:, :2],
            heads[:, 2:],
            batch,
            self.cache,
            rules=AttentionRules(1.0),
        )
        if self.look is not None:
            self.look(mixed)
        if self.look_at_batch is not None:
            self.look_at_batch(batch.positions)
        return ops.linear(ops.select_rows(mixed, batch.logit_rows), table)


def step(tokens: list[int], first: list[int], wanted: list[int], blocks: int) -> Batch:
    """One token of each sequence, at its position."""
    return Batch(
        token_ids=np.array(tokens, np.int32),
        positions=np.array(first, np.int32),
        offsets=np.arange(len(tokens) + 1, dtype=np.int32),
        block_tables=np.arange(len(tokens) * blocks, dtype=np.int32),
        block_offsets=np.arange(len(tokens) + 1, dtype=np.int32) * np.int32(blocks),
        logit_rows=np.array(wanted, np.int32),
    )


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, VOCABULARY - 1)), min_size=1, max_size=30))
def test_steps_of_any_sizes_in_any_order_give_what_the_model_gives(steps: list[tuple[int, int]]) -> None:
    asked, plain = Model(9), Model(9)
    graphed = GraphedForward(asked)
    lengths = [0, 0, 0]
    for sequences, token in steps:
        tokens = [(token + sequence) % VOCABULARY for sequence in range(sequences)]
        batch = step(tokens, lengths[:sequences], list(range(sequences)), 3)
        assert np.array_equal(graphed(batch), plain(batch))
        for sequence in range(sequences):
            lengths[sequence] += 1
    assert asked.asked == graphed.graphs == len({sequences for sequences, _ in steps})


def test_each_call_overwrites_what_the_one_before_returned() -> None:
    graphed = GraphedForward(Model(1))
    graphed(step([1], [0], [0], 1))
    second = graphed(step([2], [1], [0], 1))
    kept = second.copy()
    third = graphed(step([3], [2], [0], 1))
    assert third is second
    assert not np.array_equal(second, kept)


def test_a_failed_replay_leaves_the_graph_usable() -> None:
    plain, graphed = Model(1), GraphedForward(Model(1))
    first, second = step([1], [0], [0], 1), step([2], [1], [0], 1)
    plain(first), graphed(first)
    with pytest.raises(ValueError, match=r"token_ids\[0\] is 99, but the vocabulary has 16"):
        graphed(step([99], [1], [0], 1))
    assert np.array_equal(graphed(second), plain(second))


def test_a_failed_capture_can_be_tried_again() -> None:
    asked = Model(1)
    graphed = GraphedForward(asked)
    with pytest.raises(ValueError, match=r"token_ids\[0\] is 99"):
        graphed(step([99], [0], [0], 1))
    assert graphed.graphs == 0
    graphed(step([1], [0], [0], 1))
    assert (asked.asked, graphed.graphs) == (2, 1)


def test_arrays_of_a_batch_that_contradict_each_other_are_refused() -> None:
    graphed = GraphedForward(Model(2))
    good = step([1, 2], [0, 0], [0], 1)
    graphed(good)
    for changes in (
        {"positions": np.zeros(1, np.int32)},
        {"block_offsets": np.zeros(1, np.int32)},
        {"state_writes": np.zeros(1, np.int32)},
    ):
        with pytest.raises(ValueError, match="entries, but token_ids, offsets and state_reads"):
            graphed(replace(good, **changes))


def test_many_rows_are_not_worth_a_graph() -> None:
    asked = Model(1 + MOST_ROWS // 16)
    graphed = GraphedForward(asked)
    for _ in range(2):
        graphed(Batch.whole([[1] * (MOST_ROWS + 1)], 16))
    assert (asked.asked, graphed.graphs) == (2, 0)


def test_a_table_that_outgrows_its_room_gets_another_graph() -> None:
    blocks = 2 * LEAST_BLOCKS + 1
    asked, plain = Model(blocks), Model(blocks)
    graphed = GraphedForward(asked)
    for size in (1, LEAST_BLOCKS, LEAST_BLOCKS + 1, 2 * LEAST_BLOCKS, blocks, 5):
        batch = step([1], [0], [0], size)
        assert np.array_equal(graphed(batch), plain(batch))
    assert asked.asked == graphed.graphs == 3


def test_the_graph_that_was_not_used_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs_module, "MOST_GRAPHS", 2)
    asked = Model(4)
    graphed = GraphedForward(asked)
    one, two, three = (step([1] * count, [0] * count, [0], 1) for count in (1, 2, 3))
    for batch, expected in ((one, 1), (two, 2), (one, 2), (three, 3), (one, 3), (two, 4)):
        graphed(batch)
        assert asked.asked == expected
        assert graphed.graphs <= 2


LOOKS: dict[str, Look] = {
    "arithmetic": lambda x: x + 1,
    "arithmetic in place": lambda x: x.__iadd__(0),
    "comparison": lambda x: x > 0,
    "a function": np.sum,
    "a function of several": lambda x: np.concatenate([x, x]),
    "a method": lambda x: x.max(),
    "one value": lambda x: x[(0,) * x.ndim],
    "some values": lambda x: x[x.astype(bool)],
    "copying by indices": lambda x: x[[0]],
    "writing": lambda x: x.__setitem__(slice(None), x[...]),
    "a list": lambda x: x.tolist(),
    "a copy": lambda x: x.copy(),
    "another type": lambda x: x.astype(np.float64),
    "a number": lambda x: float(x[:1, :1].reshape(())) if x.ndim == 2 else float(x[:1].reshape(())),
    "an integer": lambda x: int(x.reshape(-1)[:1].reshape(())),
    "truth": lambda x: bool(x.reshape(-1)[:1].reshape(())),
    "iteration": lambda x: [None for row in x.reshape(-1) for _ in range(1)],
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("at_batch", [False, True], ids=["activations", "positions"])
def test_a_model_that_looks_at_values_is_asked_for_every_step(look: Look, at_batch: bool) -> None:
    asked = Model(1, look_at_batch=look) if at_batch else Model(1, look)
    graphed, plain = GraphedForward(asked), Model(1)
    for position in range(3):
        batch = step([position + 1], [position], [0], 1)
        assert np.array_equal(graphed(batch), plain(batch))
    assert (asked.asked, graphed.graphs) == (3, 0)


def test_using_a_position_as_an_index_spoils_the_capture() -> None:
    asked = Model(1, look_at_batch=lambda positions: range(positions[:1].reshape(())))
    graphed = GraphedForward(asked)
    for position in range(2):
        graphed(step([1], [position], [0], 1))
    assert (asked.asked, graphed.graphs) == (2, 0)


HARMLESS: dict[str, Look] = {
    "shape": lambda x: (x.shape, x.ndim, x.size, len(x), x.dtype),
    "cutting": lambda x: x[:, :3] if x.ndim == 2 else x[:1],
    "reshaping": lambda x: x.reshape(-1, 1),
    "both": lambda x: x.reshape(-1)[..., None][:1],
}


@pytest.mark.parametrize("look", HARMLESS.values(), ids=HARMLESS)
def test_a_model_that_only_cuts_and_reshapes_is_asked_once(look: Look) -> None:
    asked = Model(1, look, look)
    graphed = GraphedForward(asked)
    for position in range(3):
        graphed(step([1], [position], [0], 1))
    assert (asked.asked, graphed.graphs) == (1, 1)


def test_reshaping_that_has_to_copy_spoils_the_capture() -> None:
    asked = Model(2, lambda x: x[:, :3].reshape(-1))
    graphed = GraphedForward(asked)
    for position in range(2):
        graphed(step([1, 2], [position, position], [0], 1))
    assert (asked.asked, graphed.graphs) == (2, 0)
