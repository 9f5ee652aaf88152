from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from freehold.engine.types import EngineOptions, GenerationRequest, SamplingOptions, StopOptions
from freehold.engine.validation import Limits, check_sequence, validate_options, validate_request
from freehold.errors import ContextExceeded, InvalidRequest

LIMITS = Limits(vocabulary=100, context_length=16, has_text=True)


def _validate(prompt: Any = (1, 2), sampling: dict[str, Any] | None = None, stop: dict[str, Any] | None = None) -> None:
    request = GenerationRequest(
        prompt=prompt, sampling=SamplingOptions(**(sampling or {})), stop=StopOptions(**(stop or {}))
    )
    validate_request(request, LIMITS)


BAD_SAMPLING: list[tuple[str, Any]] = [
    *[(name, value) for name in ("temperature", "top_p", "min_p") for value in (nan, inf, -inf, -0.1, "1", None, True)],
    ("temperature", 100.1),
    ("temperature", 10**400),
    ("top_p", 1.001),
    ("min_p", 1.001),
    *[("repetition_penalty", value) for value in (0.0, -1.0, nan, inf)],
    *[(name, value) for name in ("presence_penalty", "frequency_penalty") for value in (nan, inf, -101, 101)],
    *[("top_k", value) for value in (-1, 2**31, 2**63, 10**400, 1.5, nan, True)],
    *[("seed", value) for value in (2**64, -(2**63) - 1, 1.0, "1")],
    *[("logprobs", value) for value in (-1, 101, 2**31, 2**63, 0.5)],
    *[("logit_bias", value) for value in ({-1: 1.0}, {100: 1.0}, {"1": 1.0}, {1: nan}, {1: 101.0}, {1: "1"})],
]

BAD_STOP: list[tuple[str, str, Any]] = [
    *[("max_tokens", "max_tokens", value) for value in (0, -1, 1.5, True, "3")],
    *[("stop", "strings", value) for value in (("",), ("a" * 1025,), ("a",) * 65)],
    *[("stop_token_ids", "token_ids", value) for value in ((-1,), (100,), (2**63,), (1.0,))],
]


@pytest.mark.parametrize(("name", "value"), BAD_SAMPLING)
def test_a_bad_sampling_option_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=name) as caught:
        _validate(sampling={name: value})
    assert caught.value.parameter == name


@pytest.mark.parametrize(("parameter", "field", "value"), BAD_STOP)
def test_a_bad_stop_option_is_refused_by_name(parameter: str, field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _validate(stop={field: value})
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0),
        ("temperature", 100),
        ("top_p", 0.0),
        ("top_p", 1),
        ("min_p", 1.0),
        ("top_k", 2**31 - 1),
        ("seed", -(2**63)),
        ("seed", 2**64 - 1),
        ("logprobs", 0),
        ("logprobs", 100),
        ("logit_bias", {0: -100.0, 99: 100}),
    ],
)
def test_the_bounds_themselves_are_allowed(name: str, value: Any) -> None:
    _validate(sampling={name: value})


@pytest.mark.parametrize("prompt", [(), (-1,), (100,), (2**31,), (2**63,), (1.0,), (True,), ("a",), (None,)])
def test_a_bad_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _validate(prompt=prompt)
    assert caught.value.parameter == "prompt"


def test_the_longest_prompt_is_served_and_one_more_token_is_not() -> None:
    _validate(prompt=(1,) * 15)
    with pytest.raises(ContextExceeded, match=r"16 tokens; a context of 16 .* at most 15"):
        _validate(prompt=(1,) * 16)


def test_stop_strings_need_text() -> None:
    request = GenerationRequest(prompt=(1,), stop=StopOptions(strings=("a",)))
    with pytest.raises(InvalidRequest, match="tokenizer"):
        validate_request(request, replace(LIMITS, has_text=False))


def test_a_whole_sequence_may_fill_the_context() -> None:
    check_sequence((1,) * 16, LIMITS)
    with pytest.raises(ContextExceeded, match=r"17 tokens; .* 16"):
        check_sequence((1,) * 17, LIMITS)
    with pytest.raises(InvalidRequest, match="empty"):
        check_sequence((), LIMITS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("block_size", "max_sequences", "prefill_chunk") for value in (0, -1, 2**31, 1.5)],
        *[("max_waiting", value) for value in (-1, 2**31)],
        *[("context_length", value) for value in (0, 1, 17, 2**63)],
        *[("cache_tokens", value) for value in (0, -1, 15, 2**31)],
        *[("speculation", value) for value in ("on", "", None, True)],
    ],
)
def test_a_bad_engine_option_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=name) as caught:
        validate_options(replace(EngineOptions(), **{name: value}), model_context=16)
    assert caught.value.parameter == name
