"""The engine over fakes: what callers are promised, whatever the model."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Unpack

import numpy as np
import pytest

from freehold.engine.engine import Engine
from freehold.engine.observer import Observer
from freehold.engine.runner import Runner
from freehold.engine.sequence import Step
from freehold.engine.types import EngineKeywords, FinishReason, Output, StopOptions, TokenOutput, Usage
from freehold.errors import ContextExceeded, EngineStopped, FreeholdError, InvalidRequest, Overloaded
from freehold.ops.batch import Batch
from tests.engine.fakes import Collector, FakeLimits, FakeModel, fake_engine, fake_sampler, request, run

POISON = 49


@pytest.fixture
def engine() -> Iterator[Engine]:
    with_engine = fake_engine()
    yield with_engine
    with_engine.close()


class Gate:
    """Holds the model's steps up until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, batch: Batch) -> None:
        self.reached.set()
        assert self.opened.wait(30)


def _gated(**options: Unpack[EngineKeywords]) -> tuple[Engine, Gate]:
    gate = Gate()
    return fake_engine(FakeModel(before_forward=gate), **options), gate


def _is_clean(engine: Engine) -> bool:
    """No request and no held block is left."""
    stats = engine.stats()
    return (stats.running, stats.waiting, stats.blocks_used, engine.admission.taken) == (0, 0, 0, 0)


def test_a_request_ends_with_its_usage(engine: Engine) -> None:
    (result,) = run(engine, [request([1, 2, 3], 5)])
    assert result.last.finish_reason is FinishReason.LENGTH
    assert result.last.usage == Usage(prompt_tokens=3, cached_tokens=0, completion_tokens=5)
    assert len(result.tokens) == 5
    assert all(token.logprob is not None for token in result.tokens)
    assert _is_clean(engine)


def test_end_ids_end_the_text() -> None:
    engine = fake_engine(end_ids=range(50))
    (result,) = run(engine, [request([1, 2, 3])])
    assert (result.text, result.last.finish_reason) == ("", FinishReason.STOP)
    assert result.last.usage == Usage(3, 0, 1)
    engine.close()


def test_stop_strings_cut_what_the_stream_shows(engine: Engine) -> None:
    (free,) = run(engine, [request([5], 20)])
    stop = free.text[4:6]
    (stopped,) = run(engine, [request([5], 20, stop=[stop])])
    assert stopped.text == free.text[: free.text.index(stop)]
    assert stopped.last.finish_reason is FinishReason.STOP


REQUESTS = [request(range(n % 7, n % 7 + 3 * n + 1), 4 + n % 9, seed=n, stop=["qq"]) for n in range(16)]


def _results(**options: Unpack[EngineKeywords]) -> list[tuple[str, list[TokenOutput]]]:
    engine = fake_engine(**options)
    results = [(result.text, result.tokens) for result in run(engine, REQUESTS)]
    assert _is_clean(engine)
    engine.close()
    return results


def test_the_same_at_any_load() -> None:
    engine = fake_engine()
    alone = [(result.text, result.tokens) for wanted in REQUESTS for result in run(engine, [wanted])]
    engine.close()
    assert len({text for text, _ in alone}) > 10
    assert _results() == alone
    assert _results(prefill_chunk=3) == alone
    assert _results(prefill_chunk=1000) == alone
    assert _results(prefix_cache=False) == alone
    assert _results(max_sequences=1) == alone
    assert _results(block_size=1) == alone


def test_the_same_after_preemption() -> None:
    engine = fake_engine(cache_tokens=64, prefill_chunk=64)
    results = [(result.text, result.tokens) for result in run(engine, REQUESTS)]
    assert engine.stats().preemptions > 0
    assert results == _results()
    assert engine.stats().blocks_used == 0
    engine.close()


def test_without_a_seed_every_request_draws_its_own(engine: Engine) -> None:
    texts = {result.text for result in run(engine, [request([1], 12, seed=None) for _ in range(8)])}
    assert len(texts) == 8


def test_a_shared_prefix_is_computed_once_and_counted(engine: Engine) -> None:
    run(engine, [request(range(20), 1)])
    (second,) = run(engine, [request([*range(20), 7], 1)])
    assert second.last.usage == Usage(prompt_tokens=21, cached_tokens=20, completion_tokens=1)
    assert engine.stats().cached_tokens == 20


def test_salts_keep_prefixes_apart(engine: Engine) -> None:
    run(engine, [replace(request(range(20), 1), cache_salt="a")])
    (other,) = run(engine, [replace(request(range(20), 1), cache_salt="b")])
    assert other.last.usage == Usage(20, 0, 1)


def test_the_context_is_the_limit_of_prompt_and_output_together() -> None:
    engine = fake_engine(FakeModel(FakeLimits(context_length=16)))
    results = run(engine, [request(range(15), None), request(range(10), None), request(range(10), 100)])
    assert [len(result.tokens) for result in results] == [1, 6, 6]
    assert {result.last.finish_reason for result in results} == {FinishReason.LENGTH}
    with pytest.raises(ContextExceeded, match=r"16 tokens; a context of 16"):
        engine.submit(request(range(16)), Collector())
    assert _is_clean(engine)
    engine.close()


def test_a_cache_smaller_than_the_context_limits_it_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        engine = fake_engine(cache_tokens=32)
    assert engine.context_length == 32
    assert "64" in caplog.text
    assert "32" in caplog.text
    engine.close()


def test_context_length_can_be_lowered_but_not_raised() -> None:
    engine = fake_engine(context_length=10)
    assert engine.context_length == 10
    engine.close()
    with pytest.raises(InvalidRequest, match="context_length is 65"):
        fake_engine(context_length=65)


def test_cancelling_frees_in_every_phase() -> None:
    engine, gate = _gated(max_sequences=1, prefix_cache=False)
    decoding, waiting = Collector(), Collector()
    ticket = engine.submit(request(range(20), None), decoding)
    second = engine.submit(request(range(20), None), waiting)
    assert gate.reached.wait(30)  # the first is in the middle of its prompt
    second.cancel()
    ticket.cancel()
    gate.opened.set()
    assert decoding.last.finish_reason is FinishReason.CANCELLED
    assert waiting.last.finish_reason is FinishReason.CANCELLED
    assert waiting.last.usage == Usage(20, 0, 0)
    assert _is_clean(engine)
    assert engine.stats().blocks_free == engine.stats().blocks_total
    ticket.cancel()
    assert run(engine, [request([1])])[0].last.finish_reason is FinishReason.LENGTH
    engine.close()


def test_a_thousand_dropped_requests_lose_no_block(engine: Engine) -> None:
    for number in range(1000):
        stream = engine.stream(request(range(number % 30 + 1), None))
        if number % 3:
            next(stream)
        stream.close()
    (result,) = run(engine, [request([1, 2, 3])])
    assert result.last.finish_reason is FinishReason.LENGTH
    assert engine.drain(30)
    assert _is_clean(engine)
    stats = engine.stats()
    assert stats.blocks_free + stats.blocks_cached == stats.blocks_total


def test_a_stream_yields_every_output_and_ends(engine: Engine) -> None:
    outputs = list(engine.stream(request([1, 2], 6)))
    (collected,) = run(engine, [request([1, 2], 6)])
    assert "".join(output.text for output in outputs) == collected.text
    assert [output.finish_reason is None for output in outputs] == [True] * (len(outputs) - 1) + [False]


def test_a_dropped_stream_is_cancelled() -> None:
    engine, gate = _gated()
    stream = engine.stream(request([1], None))
    assert gate.reached.wait(30)
    del stream
    gc.collect()
    gate.opened.set()
    assert engine.drain(30)
    assert engine.stats().generated_tokens <= 1
    engine.close()


def test_a_failing_sink_cancels_its_own_request_only(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Output] = []

    def broken(output: Output) -> None:
        calls.append(output)
        raise RuntimeError("the listener is gone")

    engine.submit(request([1], None), broken)
    (healthy,) = run(engine, [request([2], 10)])
    assert healthy.last.finish_reason is FinishReason.LENGTH
    assert engine.drain(30)
    assert [output.finish_reason for output in calls] == [None, FinishReason.CANCELLED]
    assert _is_clean(engine)
    assert "listener" in caplog.text


def test_what_cannot_be_computed_fails_alone_and_the_engine_goes_on() -> None:
    gate = Gate()

    def poisoned(batch: Batch) -> None:
        gate(batch)
        if POISON in batch.token_ids[batch.positions == 0]:
            raise RuntimeError(f"at 0x{id(batch):x}")

    wanted = [request([n], 3, temperature=0) for n in range(10)]
    engine, healthy = fake_engine(FakeModel(before_forward=poisoned)), fake_engine()
    expected = run(healthy, wanted)
    wanted.insert(5, request([POISON]))
    collectors = [Collector() for _ in wanted]
    for each, collector in zip(wanted, collectors, strict=True):
        engine.submit(each, collector)
    gate.opened.set()
    bad = collectors.pop(5)
    assert bad.last.finish_reason is FinishReason.FAILED
    assert bad.last.error == "computing the request failed (RuntimeError)"
    assert [result.last.finish_reason for result in collectors] == [FinishReason.LENGTH] * 10
    assert [result.tokens for result in collectors] == [result.tokens for result in expected]
    assert _is_clean(engine)
    engine.close()
    healthy.close()


def test_our_own_errors_are_passed_on_in_words() -> None:
    def broken(batch: Batch) -> None:
        raise FreeholdError("the device has 2 GiB and 3 are needed")

    engine = fake_engine(FakeModel(before_forward=broken))
    (result,) = run(engine, [request([1])])
    assert result.last.error == "the device has 2 GiB and 3 are needed"
    assert result.last.usage == Usage(1, 0, 0)
    engine.close()


def test_logits_that_are_no_numbers_fail_only_their_own_request() -> None:
    class Undefined(FakeModel):
        def _logits(self, history: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            logits = super()._logits(history)
            return logits * np.nan if history[0] == POISON else logits

    engine = fake_engine(Undefined())
    bad, good = run(engine, [request([POISON]), request([1])])
    assert (bad.last.finish_reason, good.last.finish_reason) == (FinishReason.FAILED, FinishReason.LENGTH)
    engine.close()


def test_an_engine_whose_own_books_are_wrong_stops_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(prefill_chunk: int) -> Step:
        raise AssertionError("blocks lost")

    engine = fake_engine()
    alive = [engine.alive]
    monkeypatch.setattr(engine._worker._scheduler, "schedule", broken)
    (result,) = run(engine, [request([1])])
    assert (result.last.finish_reason, result.last.error) == (
        FinishReason.FAILED,
        "the engine stopped because of an internal error",
    )
    with pytest.raises(EngineStopped):
        engine.submit(request([1]), Collector())
    assert [*alive, engine.alive] == [True, False]
    engine.close()


def test_beyond_the_permits_requests_are_refused_at_once() -> None:
    engine, gate = _gated(max_sequences=1, max_waiting=1)
    results = [Collector(), Collector()]
    for result in results:
        engine.submit(request([1]), result)
    with pytest.raises(Overloaded) as caught:
        engine.submit(request([1]), Collector())
    assert caught.value.retry_after >= 1
    gate.opened.set()
    assert [result.last.finish_reason for result in results] == [FinishReason.LENGTH] * 2
    engine.close()


def test_a_permit_taken_before_is_used(engine: Engine) -> None:
    results = [Collector(), Collector()]
    with engine.admission.try_acquire(3) as permit:
        for result in results:
            engine.submit(request([1]), result, permit)
        with pytest.raises(InvalidRequest):
            engine.submit(request([]), Collector(), permit)
    assert all(result.last.finish_reason is FinishReason.LENGTH for result in results)
    assert engine.drain(30)
    assert engine.admission.taken == 0


def test_a_refused_request_costs_no_permit(engine: Engine) -> None:
    for _ in range(200):
        with pytest.raises(InvalidRequest, match="empty"):
            engine.submit(request([]), Collector())
    assert engine.admission.taken == 0


def test_draining_lets_work_in_flight_finish_and_takes_no_new_one() -> None:
    engine, gate = _gated()
    result = Collector()
    engine.submit(request([1], 10), result)
    assert not engine.drain(0.01)
    with pytest.raises(EngineStopped):
        engine.submit(request([1]), Collector())
    gate.opened.set()
    assert engine.drain(30)
    assert result.last.finish_reason is FinishReason.LENGTH
    engine.close()


def test_who_held_a_permit_when_draining_began_is_still_served(engine: Engine) -> None:
    with engine.admission.try_acquire() as permit:
        assert not engine.drain(0)
        result = Collector()
        engine.submit(request([1]), result, permit)
    assert engine.drain(30)
    assert result.last.finish_reason is FinishReason.LENGTH


def test_closing_cancels_the_rest_and_may_be_repeated() -> None:
    engine, gate = _gated(max_sequences=1)
    results = [Collector(), Collector()]
    for result in results:
        engine.submit(request([1], None), result)
    assert gate.reached.wait(30)
    closing = threading.Thread(target=engine.close)
    closing.start()
    gate.opened.set()
    closing.join(30)
    engine.close()
    assert [result.last.finish_reason for result in results] == [FinishReason.CANCELLED] * 2
    assert _is_clean(engine)
    with pytest.raises(EngineStopped):
        engine.stream(request([1]))


def test_a_sink_may_close_the_engine() -> None:
    engine = fake_engine()
    closed = threading.Event()

    def close(output: Output) -> None:
        engine.close()
        closed.set()

    engine.submit(request([1], 1), close)
    assert closed.wait(30)
    engine.close()


def test_an_idle_engine_computes_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    advances = 0
    advance = engine._worker.advance

    def counted() -> None:
        nonlocal advances
        advances += 1
        advance()

    monkeypatch.setattr(engine._worker, "advance", counted)
    run(engine, [request([1], 3)])
    run(engine, [request([2], 3)])
    assert advances <= 3 + 3 + 2


class Recorder(Observer):
    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []

    def started(self, queued: float) -> None:
        assert queued >= 0
        self.calls.append(("started", None))

    def first_token(self, since_submit: float) -> None:
        assert since_submit >= 0
        self.calls.append(("first", None))

    def next_token(self, since_previous: float) -> None:
        assert since_previous >= 0
        self.calls.append(("next", None))

    def finished(self, reason: FinishReason, usage: Usage, since_submit: float) -> None:
        self.calls.append((reason.value, usage))
        raise RuntimeError("observers must not matter")


def test_observers_see_a_request_go_by_and_cannot_break_it() -> None:
    recorder = Recorder()
    engine = fake_engine(observer=recorder)
    (result,) = run(engine, [request(range(20), 3)])
    names = [name for name, _ in recorder.calls]
    assert names == ["started", "first", "next", "next", "length"]
    assert recorder.calls[-1][1] == result.last.usage
    engine.close()


def test_totals_are_those_of_the_usages(engine: Engine) -> None:
    results = run(engine, REQUESTS)
    usages = [result.last.usage for result in results if result.last.usage is not None]
    stats = engine.stats()
    assert stats.prompt_tokens == sum(usage.prompt_tokens for usage in usages)
    assert stats.generated_tokens == sum(usage.completion_tokens for usage in usages)
    assert stats.cached_tokens == sum(usage.cached_tokens for usage in usages)


def test_a_model_without_text_streams_tokens() -> None:
    engine = fake_engine(alphabet=None)
    outputs = list(engine.stream(request([1], 3)))
    assert [len(output.tokens) for output in outputs] == [1, 1, 1]
    with pytest.raises(InvalidRequest, match="tokenizer"):
        engine.stream(replace(request([1]), stop=StopOptions(strings=("a",))))
    engine.close()


def test_without_a_number_the_cache_fits_everyone_or_the_memory() -> None:
    engine = fake_engine(cache_tokens=None, max_sequences=4)
    assert engine.stats().blocks_total == 4 * 64 // 4
    engine.close()


def test_caches_go_as_soon_as_their_runner_does() -> None:
    """They may be most of the machine's memory, and garbage is not collected before much else has been made."""
    runner = Runner(FakeModel(), fake_sampler, blocks=2, block_size=16, states=0)
    gone = weakref.ref(runner)
    gc.disable()
    try:
        del runner
        assert gone() is None
    finally:
        gc.enable()
