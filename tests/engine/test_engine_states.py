"""The engine over a fake that keeps a state per sequence and notices when it is given the wrong one."""

from __future__ import annotations

import logging
from typing import Unpack

import numpy as np
import pytest

from freehold.engine.types import EngineKeywords, FinishReason, GenerationRequest, TokenOutput
from freehold.errors import InvalidRequest
from tests.engine.fakes import Collector, FakeModel, FakeOps, fake_engine, request, run

MEMORY = FakeOps().available_bytes()
SMALL = 64
REQUESTS = [
    request([*range(length % 5), *range(length)], 3 + length % 17, seed=length, temperature=0.5)
    for length in range(1, 30)
]


def _run(state_bytes: int, **options: Unpack[EngineKeywords]) -> list[list[TokenOutput]]:
    engine = fake_engine(FakeModel(state_bytes=state_bytes), **options)
    results = run(engine, REQUESTS)
    assert all(result.last.finish_reason is FinishReason.LENGTH for result in results)
    engine.close()
    return [result.tokens for result in results]


def test_the_same_as_without_states_at_any_load() -> None:
    expected = _run(0)
    assert _run(SMALL) == expected
    assert _run(SMALL, prefill_chunk=3) == expected
    assert _run(SMALL, prefix_cache=False) == expected
    assert _run(SMALL, max_sequences=1) == expected
    assert _run(SMALL, block_size=1) == expected
    assert _run(SMALL, cache_tokens=64, prefill_chunk=64) == expected
    assert _run(MEMORY // 4 // 5) == expected


def test_a_shared_prefix_is_computed_once_and_counted() -> None:
    engine = fake_engine(FakeModel(state_bytes=SMALL))
    run(engine, [request(range(21), 1)])
    (second,) = run(engine, [request([*range(21), 7], 1)])
    assert second.last.usage is not None
    assert second.last.usage.cached_tokens == 20
    engine.close()


def test_a_failed_step_is_run_again_without_harm_to_the_others() -> None:
    """The model has written everybody's state by the time the sampler fails."""

    class Undefined(FakeModel):
        def _logits(self, history: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            logits = super()._logits(history)
            return logits * np.nan if history[0] == 49 and len(history) > 6 else logits

    healthy: list[GenerationRequest] = [request([n], 12, temperature=0) for n in range(8)]
    engine = fake_engine(Undefined(state_bytes=SMALL))
    expected = [result.tokens for result in run(engine, healthy)]
    *results, bad = run(engine, [*healthy, request([49], 12)])
    assert bad.last.finish_reason is FinishReason.FAILED
    assert [result.tokens for result in results] == expected
    engine.close()


def test_cancelling_gives_slots_back() -> None:
    engine = fake_engine(FakeModel(state_bytes=MEMORY // 4 // 4))
    for number in range(200):
        stream = engine.stream(request(range(number % 30 + 1), None))
        if number % 3:
            next(stream)
        stream.close()
    collector = Collector()
    engine.submit(request([1, 2, 3]), collector)
    assert collector.last.finish_reason is FinishReason.LENGTH
    assert engine.drain(30)
    engine.close()


def test_too_little_memory_for_everyone_is_said_and_for_anyone_refused(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fake_engine(FakeModel(state_bytes=MEMORY // 4 // 5), max_sequences=16).close()
    assert "states of 2 sequences at once, fewer than max_sequences, 16" in caplog.text
    with pytest.raises(InvalidRequest, match=str(MEMORY)):
        fake_engine(FakeModel(state_bytes=MEMORY // 7))
