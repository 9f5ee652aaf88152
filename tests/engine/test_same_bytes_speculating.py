"""On the native backend speculation changes no byte: whatever is drafted, in whatever company, however it is drawn."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from dataclasses import replace
from random import Random
from typing import Unpack

import numpy as np
import numpy.typing as npt
import pytest

from freehold.engine import engine as engine_module
from freehold.engine.drafts import Draft, Room
from freehold.engine.engine import Engine
from freehold.engine.native_sampler import NativeSampler
from freehold.engine.sampler import SamplingRow
from freehold.engine.sequence import Sequence
from freehold.engine.speculation import Speculation
from freehold.engine.types import (
    EngineKeywords,
    EngineOptions,
    GenerationRequest,
    SamplingOptions,
    StopOptions,
    TokenOutput,
)
from freehold.models import Decoder
from tests.engine.draft_models import FreeRows
from tests.engine.fakes import ALPHABET, Collector, Letters, run
from tests.engine.simulation import fitting
from tests.engine.tiny_models import as_bytes, make_model, make_requests

ALIKE = tuple(range(60, 72))


class Script:
    """A sampler that says a text token by token, whatever the logits are.

    Attributes:
        calls: steps in which something was drawn.
    """

    def __init__(self, text: Listing[int]) -> None:
        self._text = text
        self.calls = 0

    def __call__(self, logits: npt.NDArray[np.float32], rows: Listing[SamplingRow]) -> list[TokenOutput]:
        self.calls += 1
        return [TokenOutput(self._text[row.index]) for row in rows]


def _requests() -> list[GenerationRequest]:
    """Those that are random, and some that say again and again what they said before, with stop strings."""
    few = dict.fromkeys((60, 61, 62), 30.0)
    ways = [
        SamplingOptions(temperature=0.0, repetition_penalty=1.1, logprobs=2),
        SamplingOptions(temperature=0.0, logit_bias=few, logprobs=0),
        SamplingOptions(temperature=0.7, logit_bias=few, top_p=0.9, logprobs=1),
        SamplingOptions(temperature=0.0, presence_penalty=0.4, frequency_penalty=0.3, logit_bias=few, logprobs=3),
    ]
    ways += [replace(way, seed=1) for way in ways]
    stops = [("zz",), ("abc", " the "), (), ("er", "qrs")]
    repeating = [
        GenerationRequest(
            prompt=ALIKE * 3 + tuple(range(number)),
            sampling=replace(way, seed=100 + number),
            stop=StopOptions(max_tokens=30 + 3 * number, strings=stops[number % 4], token_ids=(75,)),
        )
        for number, way in enumerate(ways)
    ]
    return [*make_requests(), *repeating]


def _engine(model: Decoder, **options: Unpack[EngineKeywords]) -> Engine:
    defaults: EngineKeywords = {"cache_tokens": 4096}
    return Engine(
        model,
        sampler=NativeSampler(),
        options=EngineOptions(**(defaults | options)),
        detokeniser=lambda request: Letters(ALPHABET),
    )


def _seen(result: Collector) -> tuple[object, ...]:
    """All that a listener gets: text and its pieces, tokens, reason and usage but for the prefix cache."""
    usage = result.last.usage
    assert usage is not None
    pieces = [(output.text, len(output.tokens)) for output in result.outputs]
    return as_bytes(result.tokens), pieces, result.last.finish_reason, usage.completion_tokens


@pytest.fixture(scope="module", params=["llama-q4", "latent-q8", "chunks-q8", "chunks-q8-codes"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    return make_model(request.param, tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def plain(model: Decoder) -> list[tuple[object, ...]]:
    """One after the other, without speculation."""
    engine = _engine(model, prefix_cache=False, speculation="off")
    results = [_seen(result) for request in _requests() for result in run(engine, [request])]
    assert engine.stats().drafted_tokens == 0
    engine.close()
    return results


@pytest.fixture
def drafting(monkeypatch: pytest.MonkeyPatch, model: Decoder, plain: list[tuple[object, ...]]) -> None:
    """Drafts from everybody in every step, of random lengths, wrong from a random place on."""
    engine = _engine(model, prefix_cache=False, speculation="off", max_sequences=1)
    wholes = [replace(request, stop=StopOptions(max_tokens=70, ignore_eos=True)) for request in _requests()]
    answers = {
        request.sampling.seed: [token.token_id for token in result.tokens]
        for request, result in zip(wholes, run(engine, wholes), strict=True)
    }
    engine.close()

    class Drafting(Speculation):
        chance = Random(5)

        def drafts(self, sequences: Listing[Sequence], room: Room) -> list[Draft]:
            return [fitting(sequence, self._draft(sequence), room) for sequence in sequences]

        def _draft(self, sequence: Sequence) -> tuple[int, ...]:
            length = self.chance.randint(0, min(9, sequence.limit - len(sequence.tokens) - 1))
            right = self.chance.randint(0, length)
            coming = answers[sequence.sampling.seed][sequence.generated :][:length]
            return tuple(token if index < right else (token + 1) % 256 for index, token in enumerate(coming))

    monkeypatch.setattr(engine_module, "Speculation", Drafting)


def _holds(engine: Engine, plain: list[tuple[object, ...]], accepted: int = 100) -> None:
    assert [_seen(result) for result in run(engine, _requests())] == plain
    stats = engine.stats()
    assert accepted < stats.accepted_tokens < stats.drafted_tokens
    assert stats.blocks_used == 0
    engine.close()


def test_alone(model: Decoder, plain: list[tuple[object, ...]], drafting: None) -> None:
    _holds(_engine(model, max_sequences=1), plain)


def test_in_a_crowd(model: Decoder, plain: list[tuple[object, ...]], drafting: None) -> None:
    _holds(_engine(model, max_sequences=24), plain)


@pytest.mark.parametrize("block_size", [1, 48])
def test_whatever_the_block_size(
    model: Decoder, plain: list[tuple[object, ...]], drafting: None, block_size: int
) -> None:
    _holds(_engine(model, block_size=block_size), plain)


def test_with_tiny_chunks(model: Decoder, plain: list[tuple[object, ...]], drafting: None) -> None:
    _holds(_engine(model, prefill_chunk=3), plain)


@pytest.mark.parametrize("prefix_cache", [True, False])
def test_after_preemption(model: Decoder, plain: list[tuple[object, ...]], drafting: None, prefix_cache: bool) -> None:
    engine = _engine(model, cache_tokens=512, block_size=4, prefix_cache=prefix_cache)
    assert [_seen(result) for result in run(engine, _requests())] == plain
    assert engine.stats().preemptions > 0
    assert engine.stats().accepted_tokens > 100
    engine.close()


def test_from_a_prefix_cache_that_drafts_have_filled(
    model: Decoder, plain: list[tuple[object, ...]], drafting: None
) -> None:
    engine = _engine(model, block_size=4)
    run(engine, _requests())
    again = run(engine, _requests())
    assert engine.stats().cached_tokens > 500
    assert [_seen(result) for result in again] == plain
    engine.close()


def test_beside_requests_that_are_cancelled(model: Decoder, plain: list[tuple[object, ...]], drafting: None) -> None:
    engine = _engine(model)
    results = [Collector() for _ in _requests()]
    for request, result in zip(_requests(), results, strict=True):
        dropped = engine.stream(request)
        engine.submit(request, result)
        dropped.close()
    assert [_seen(result) for result in results if result.ended.wait(30)] == plain
    engine.close()


@pytest.mark.parametrize("most", [1, 4, 12])
def test_prompt_lookup_at_its_boldest(
    model: Decoder, plain: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(engine_module, "RowCosts", FreeRows)
    _holds(_engine(model, max_sequences=most), plain, accepted=20)


def test_the_comparison_can_fail(
    model: Decoder, plain: list[tuple[object, ...]], drafting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one token too many is taken over of every draft, the same tests do fail."""
    monkeypatch.setattr("freehold.engine.runner._accepted", lambda drawn, draft: drawn)
    engine = _engine(model)
    assert [_seen(result) for result in run(engine, _requests())] != plain
    engine.close()


def test_an_extraction_is_drafted_where_rows_are_cheap(model: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that copies its context takes a fraction of the steps."""
    monkeypatch.setattr(engine_module, "RowCosts", FreeRows)
    context = tuple(np.random.default_rng(1).permutation(120).tolist())
    script = Script(context[8:])
    request = GenerationRequest(
        prompt=context + context[:8], sampling=SamplingOptions(temperature=0.0), stop=StopOptions(max_tokens=100)
    )
    results = []
    for options in (EngineOptions(cache_tokens=4096, speculation="off"), EngineOptions(cache_tokens=4096)):
        engine = Engine(model, sampler=script, options=options)
        script.calls = 0
        (result,) = run(engine, [request])
        results.append([token.token_id for token in result.tokens])
        stats = engine.stats()
        engine.close()
    assert results == [list(context[8:108])] * 2
    assert stats.accepted_tokens > 85
    assert script.calls < 20


def test_models_with_states_do_not_speculate(tmp_path_factory: pytest.TempPathFactory) -> None:
    engine = _engine(make_model("linear-f32", tmp_path_factory.mktemp("models") / "tiny"))
    run(engine, _requests())
    assert engine.stats().drafted_tokens == 0
    engine.close()
