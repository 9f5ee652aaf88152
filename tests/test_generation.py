from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from freehold.engine.engine import Engine
from freehold.engine.types import SamplingOptions, StopOptions
from freehold.errors import FreeholdError
from freehold.generation import GenerationOptions, texts, to_request
from freehold.ops.batch import Batch
from tests.engine.fakes import FakeModel, fake_engine, request


@pytest.fixture
def engine() -> Iterator[Engine]:
    with_engine = fake_engine()
    yield with_engine
    with_engine.close()


def test_what_is_left_out_follows_the_recommendation() -> None:
    recommended = SamplingOptions(temperature=0.6, top_p=0.9)
    assert to_request([1], {}, recommended).sampling == recommended
    assert to_request([1], {"temperature": 0.0}, recommended).sampling == SamplingOptions(temperature=0.0, top_p=0.9)


def test_every_option_arrives() -> None:
    options: GenerationOptions = {
        "max_tokens": 3,
        "temperature": 0.5,
        "top_k": 4,
        "top_p": 0.6,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "logit_bias": {1: 2.0},
        "seed": 7,
        "stop": "x",
        "stop_token_ids": [5],
        "ignore_eos": True,
    }
    assert set(options) == set(GenerationOptions.__annotations__)
    wanted = to_request([1, 2], options, SamplingOptions())
    assert wanted.prompt == (1, 2)
    assert wanted.stop == StopOptions(max_tokens=3, strings=("x",), token_ids=(5,), ignore_eos=True)
    for name in set(options) & set(SamplingOptions.__dataclass_fields__):
        assert getattr(wanted.sampling, name) == options[name]  # type: ignore[literal-required]


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="temprature"):
        to_request([1], {"temprature": 1.0}, SamplingOptions())  # type: ignore[typeddict-unknown-key]


def test_a_failed_request_raises_its_error() -> None:
    def broken(batch: Batch) -> None:
        raise FreeholdError("the device is gone")

    engine = fake_engine(FakeModel(before_forward=broken))
    with pytest.raises(FreeholdError, match="the device is gone"):
        "".join(texts(engine.stream(request([1]))))
    engine.close()


def test_closing_the_text_cancels_the_request() -> None:
    closed = threading.Event()
    steps = itertools.count()

    def wait_after_two_steps(batch: Batch) -> None:
        if next(steps) >= 2:
            assert closed.wait(30)

    engine = fake_engine(FakeModel(before_forward=wait_after_two_steps))
    pieces = texts(engine.stream(request([1], None)))
    next(pieces)
    pieces.close()
    closed.set()
    assert engine.drain(30)
    assert engine.stats().generated_tokens <= 3
    engine.close()


def test_text_that_is_never_read_is_cancelled(engine: Engine) -> None:
    texts(engine.stream(request([1], None)))
    assert engine.drain(30)


def test_a_closed_engine_ends_the_text_with_an_error() -> None:
    engine = fake_engine()
    pieces = texts(engine.stream(request([1], None)))
    engine.close()
    with pytest.raises(FreeholdError, match="closed"):
        "".join(pieces)
