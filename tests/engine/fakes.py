"""A model, a sampler and a tokenizer that take microseconds and notice when they are used wrongly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Unpack

import numpy as np
import numpy.typing as npt

from freehold.engine.engine import Engine
from freehold.engine.observer import Observer
from freehold.engine.sampler import SamplingRow
from freehold.engine.types import (
    EngineKeywords,
    EngineOptions,
    GenerationRequest,
    Output,
    SamplingOptions,
    StopOptions,
    TokenOutput,
)
from freehold.ops.base import Forward
from freehold.ops.batch import Batch

UNWRITTEN = -1


@dataclass(frozen=True)
class FakeLimits:
    vocabulary: int = 50
    context_length: int = 64


class FakeOps:
    name = "native"

    def available_bytes(self) -> int:
        return 1 << 20

    def copy_block(self, cache: npt.NDArray[np.int32], source: int, target: int) -> None:
        cache[target] = cache[source]

    def graphed(self, forward: Forward) -> Forward:
        return forward

    def to_numpy(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return x


@dataclass
class FakeModel:
    """Its cache holds token ids, and its logits are a hash of all token ids from position 0 to the row's.

    So a block that was lost, shared wrongly, or read before it was written changes the output or raises.

    Attributes:
        state_bytes: where above 0, it keeps the token ids that it has seen per sequence, too.
        before_forward: called with each batch first; may raise, or hold the step up.
        batches: every batch so far.
    """

    config: FakeLimits = field(default_factory=FakeLimits)
    ops: FakeOps = field(default_factory=FakeOps)
    state_bytes: int = 0
    before_forward: Callable[[Batch], None] = lambda batch: None
    batches: list[Batch] = field(default_factory=list)
    states: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def forward(self, batch: Batch, caches: Sequence[npt.NDArray[np.int32]] | None) -> npt.NDArray[np.float32]:
        assert caches is not None
        self.before_forward(batch)
        self.batches.append(batch)
        histories: dict[int, tuple[int, ...]] = {}
        for sequence in range(batch.sequences):
            rows = slice(batch.offsets[sequence], batch.offsets[sequence + 1])
            table = batch.block_tables[batch.block_offsets[sequence] : batch.block_offsets[sequence + 1]]
            positions = batch.positions[rows]
            size = caches[0].shape[1]
            caches[0][table[positions // size], positions % size] = batch.token_ids[rows]
            history = caches[0][table].reshape(-1)
            if self.state_bytes:
                self._go_on(batch, sequence, history)
            for row in batch.logit_rows[(batch.logit_rows >= rows.start) & (batch.logit_rows < rows.stop)]:
                histories[row] = tuple(history[: batch.positions[row] + 1].tolist())
                assert UNWRITTEN not in histories[row]
        return np.array([self._logits(histories[row]) for row in batch.logit_rows], np.float32)

    def _go_on(self, batch: Batch, sequence: int, history: npt.NDArray[np.int32]) -> None:
        """The state that is read must have seen just what comes before the sequence's rows."""
        first, last = batch.offsets[sequence], batch.offsets[sequence + 1] - 1
        read, write = batch.state_reads[sequence], batch.state_writes[sequence]
        seen = self.states[read] if read >= 0 else ()
        assert seen == tuple(history[: batch.positions[first]].tolist()), "a state does not belong to its sequence"
        assert write not in batch.state_reads
        self.states[write] = tuple(history[: batch.positions[last] + 1].tolist())

    def create_cache(self, blocks: int, block_size: int, states: int = 0) -> list[npt.NDArray[np.int32]]:
        assert bool(states) == bool(self.state_bytes)
        return [np.full((blocks, block_size), UNWRITTEN, np.int32)]

    def cache_bytes_per_token(self) -> int:
        return 4

    def state_bytes_per_sequence(self) -> int:
        return self.state_bytes

    def _logits(self, history: tuple[int, ...]) -> npt.NDArray[np.float32]:
        return np.random.default_rng(abs(hash(history))).standard_normal(self.config.vocabulary, np.float32)


def fake_sampler(logits: npt.NDArray[np.float32], rows: Sequence[SamplingRow]) -> list[TokenOutput]:
    """Greedy at temperature 0, else the Gumbel trick keyed by (seed, index). Fails on logits that are no numbers."""
    assert len(logits) == len(rows)
    outputs = []
    for scores, row in zip(logits, rows, strict=True):
        assert row.options.seed is not None
        if np.isnan(scores).any():
            raise ValueError("the logits are not numbers")
        noise = np.random.default_rng([row.options.seed, row.index]).gumbel(size=len(scores))
        token = int(np.argmax(scores + noise * row.options.temperature))
        logprobs = scores - np.log(np.exp(scores).sum())
        outputs.append(TokenOutput(token, None if row.options.logprobs is None else float(logprobs[token])))
    return outputs


class Letters:
    """Token n is the letter or letters of an alphabet at n; the empty string stands for part of a character."""

    def __init__(self, alphabet: Sequence[str]) -> None:
        self._alphabet = alphabet

    def push(self, token_id: int) -> str:
        return self._alphabet[token_id % len(self._alphabet)]

    def finish(self) -> str:
        return ""


ALPHABET = [*"abcdefghijklmnopqrstuvwxyz", "th", "er", "on", " the "]


def fake_engine(
    model: FakeModel | None = None,
    *,
    alphabet: Sequence[str] | None = ALPHABET,
    end_ids: Sequence[int] = (),
    observer: Observer | None = None,
    context_length: int | None = None,
    **options: Unpack[EngineKeywords],
) -> Engine:
    """An engine over fakes; small blocks and chunks, so that little work meets many edges."""
    defaults: EngineKeywords = {"block_size": 4, "cache_tokens": 256, "prefill_chunk": 8}
    return Engine(
        model or FakeModel(),
        sampler=fake_sampler,
        options=EngineOptions(context_length=context_length, **(defaults | options)),
        detokeniser=None if alphabet is None else lambda prompt: Letters(alphabet),
        end_ids=end_ids,
        observer=observer,
    )


def request(
    prompt: Sequence[int],
    max_tokens: int | None = 8,
    *,
    stop: Sequence[str] = (),
    seed: int | None = 1,
    temperature: float = 1.0,
    logprobs: int | None = 0,
) -> GenerationRequest:
    return GenerationRequest(
        prompt=tuple(prompt),
        sampling=SamplingOptions(temperature=temperature, seed=seed, logprobs=logprobs),
        stop=StopOptions(max_tokens=max_tokens, strings=tuple(stop)),
    )


class Collector:
    """A sink that keeps what it gets and can be waited for."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.ended = threading.Event()

    def __call__(self, output: Output) -> None:
        assert not self.ended.is_set(), "an output after the last one"
        self.outputs.append(output)
        if output.finish_reason is not None:
            self.ended.set()

    @property
    def text(self) -> str:
        return "".join(output.text for output in self.outputs)

    @property
    def tokens(self) -> list[TokenOutput]:
        return [token for output in self.outputs for token in output.tokens]

    @property
    def last(self) -> Output:
        assert self.ended.wait(30), "the request did not end"
        return self.outputs[-1]


def run(engine: Engine, requests: Sequence[GenerationRequest]) -> list[Collector]:
    """Submit all at once and wait for all."""
    collectors = [Collector() for _ in requests]
    for wanted, collector in zip(requests, collectors, strict=True):
        engine.submit(wanted, collector)
    for collector in collectors:
        assert collector.ended.wait(30), "a request did not end"
    return collectors
