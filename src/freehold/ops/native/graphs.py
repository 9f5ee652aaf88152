"""Steps of few rows as graphs: captured once, then repeated without Python.

A step of one row is a few calls of a few microseconds for every layer, and preparing them in Python takes as long as
some of them do. From one step of decoding to the next nothing differs but numbers, which all lie in the batch's arrays.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold import _kernels
from freehold.ops.base import Forward
from freehold.ops.batch import Batch
from freehold.ops.native.arrays import Capture, Watched, capturing

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]

MOST_ROWS = 32  # with more, products take so long that Python does not matter
MOST_GRAPHS = 64
LEAST_BLOCKS = 64  # that a graph's block tables have room for; more are doubled, so that a growing one rarely matters


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a graph is made for.

    Attributes:
        tokens, sequences, wanted: of the batch.
        states: sequences that have a state.
        blocks: room in the block tables.
    """

    tokens: int
    sequences: int
    wanted: int
    states: int
    blocks: int

    @classmethod
    def of(cls, batch: Batch) -> Sizes:
        """The sizes of the graph that serves a batch."""
        blocks = max(LEAST_BLOCKS, 1 << (len(batch.block_tables) - 1).bit_length())
        return cls(batch.tokens, batch.sequences, len(batch.logit_rows), len(batch.state_reads), blocks)

    def batch(self) -> Batch:
        """Arrays for any batch of these sizes."""

        def numbers(count: int) -> Int32Array:
            return np.zeros(count, np.int32)

        return Batch(
            token_ids=numbers(self.tokens),
            positions=numbers(self.tokens),
            offsets=numbers(self.sequences + 1),
            block_tables=numbers(self.blocks),
            block_offsets=numbers(self.sequences + 1),
            logit_rows=numbers(self.wanted),
            state_reads=numbers(self.states),
            state_writes=numbers(self.states),
        )


class StepGraph:
    """The calls of one step, and the arrays that they read its numbers from and write its logits to."""

    def __init__(self, inputs: Batch, graph: _kernels.Graph, logits: Float32Array) -> None:
        self._inputs = inputs
        self._graph = graph
        self._logits = logits

    def replay(self, batch: Batch) -> Float32Array:
        """The logits of a batch, which the next replay or capture overwrites."""
        fill(self._inputs, batch)
        self._graph.replay()
        return self._logits


class GraphedForward:
    """See `Ops.graphed`.

    Args:
        forward: what is captured.
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._arena = _kernels.Arena()
        self._graphs = OrderedDict[Sizes, StepGraph]()
        self._capturable = True

    @property
    def graphs(self) -> int:
        """How many sizes of steps have a graph; 0 for good once a capture has been spoiled."""
        return len(self._graphs)

    def __call__(self, batch: Batch) -> Float32Array:
        if not self._capturable or not 0 < batch.tokens <= MOST_ROWS:
            logits: Float32Array = self._forward(batch)
            return logits
        sizes = Sizes.of(batch)
        if sizes not in self._graphs:
            return self._capture(sizes, batch)
        self._graphs.move_to_end(sizes)
        return self._graphs[sizes].replay(batch)

    def _capture(self, sizes: Sizes, batch: Batch) -> Float32Array:
        """The logits of a batch, and its graph for the next time."""
        inputs, graph, capture = sizes.batch(), _kernels.Graph(self._arena), Capture(self._arena)
        fill(inputs, batch)
        graph.begin()
        try:
            with capturing(capture):
                logits: Float32Array = self._forward(watched(inputs))
        finally:
            graph.end()
        logits = logits.view(np.ndarray)
        if capture.spoiled:
            self._capturable = False
            self._graphs.clear()
            return logits
        # Not the array itself, which would keep its memory from all other graphs.
        logits = self._arena.borrowed(logits)
        self._graphs[sizes] = StepGraph(inputs, graph, logits)
        if len(self._graphs) > MOST_GRAPHS:
            self._graphs.popitem(last=False)
        return logits


def fill(inputs: Batch, batch: Batch) -> None:
    """Have a graph's inputs hold a batch's numbers.

    Raises:
        ValueError: the batch's arrays contradict each other.
    """
    sizes = (len(batch.positions), len(batch.block_offsets), len(batch.state_writes))
    if sizes != (batch.tokens, len(batch.offsets), len(batch.state_reads)):
        raise ValueError(
            f"positions, block_offsets and state_writes have {sizes} entries, but token_ids, offsets and state_reads "
            f"{(batch.tokens, len(batch.offsets), len(batch.state_reads))}"
        )
    inputs.token_ids[:] = batch.token_ids
    inputs.positions[:] = batch.positions
    inputs.offsets[:] = batch.offsets
    inputs.block_tables[: len(batch.block_tables)] = batch.block_tables
    inputs.block_offsets[:] = batch.block_offsets
    inputs.logit_rows[:] = batch.logit_rows
    inputs.state_reads[:] = batch.state_reads
    inputs.state_writes[:] = batch.state_writes


def watched(batch: Batch) -> Batch:
    """The same arrays, so that a capture learns when Python reads them."""
    return Batch(
        token_ids=batch.token_ids.view(Watched),
        positions=batch.positions.view(Watched),
        offsets=batch.offsets.view(Watched),
        block_tables=batch.block_tables.view(Watched),
        block_offsets=batch.block_offsets.view(Watched),
        logit_rows=batch.logit_rows.view(Watched),
        state_reads=batch.state_reads.view(Watched),
        state_writes=batch.state_writes.view(Watched),
    )
