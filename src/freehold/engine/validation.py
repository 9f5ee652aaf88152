"""Refuses what cannot be honoured, before any work is spent on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.engine.types import EngineOptions, GenerationRequest, SamplingOptions, StopOptions
from freehold.errors import ContextExceeded, InvalidRequest

# Inclusive bounds of the options that are real numbers.
RANGES = {
    "temperature": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
    "presence_penalty": (-100.0, 100.0),
    "frequency_penalty": (-100.0, 100.0),
}
LARGEST_BIAS = 100.0
SEED_BITS = 64
MOST_STOP_STRINGS = 64
LONGEST_STOP_STRING = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What requests are checked against.

    Attributes:
        vocabulary: token ids are below this.
        context_length: most tokens of a sequence, prompt and output together.
        has_text: whether the model's tokens can be turned into text.
    """

    vocabulary: int
    context_length: int
    has_text: bool


def validate_request(request: GenerationRequest, limits: Limits) -> None:
    """Check every field of a request.

    A prompt of context_length - 1 tokens is served, with one token of output; a longer one leaves no room for any and
    is refused.

    Raises:
        InvalidRequest: naming the parameter, its value and what is allowed.
        ContextExceeded: the prompt is too long; names both counts.
    """
    _check_prompt(request.prompt, limits)
    _check_sampling(request.sampling, limits)
    _check_stop(request.stop, limits)
    _check_token_ids("shown", request.shown, limits)
    if not isinstance(request.cache_salt, str):
        raise InvalidRequest(f"cache_salt must be a string, not {_name(request.cache_salt)}", parameter="cache_salt")


def check_sequence(tokens: Sequence[int], limits: Limits) -> None:
    """Check a sequence that is computed as it is, without output.

    Raises:
        InvalidRequest: it is empty or holds an id that is no token.
        ContextExceeded: it is longer than the context; names both counts.
    """
    if not tokens:
        raise InvalidRequest("a sequence is empty; it needs at least one token", parameter="sequences")
    if len(tokens) > limits.context_length:
        raise ContextExceeded(
            f"a sequence has {len(tokens)} tokens; the context has {limits.context_length}",
            parameter="sequences",
            code="context_length_exceeded",
        )
    _check_token_ids("sequences", tokens, limits)


def validate_options(options: EngineOptions, model_context: int) -> None:
    """Check an engine's options.

    Raises:
        InvalidRequest: naming the option, its value and what is allowed.
    """
    for name in ("block_size", "max_sequences", "prefill_chunk"):
        check_integer(name, getattr(options, name), 1, 2**31 - 1)
    check_integer("max_waiting", options.max_waiting, 0, 2**31 - 1)
    if options.context_length is not None:
        check_integer("context_length", options.context_length, 2, model_context)
    if options.cache_tokens is not None:
        check_integer("cache_tokens", options.cache_tokens, options.block_size, 2**31 - 1)
    if options.speculation not in ("auto", "off"):
        raise InvalidRequest(
            f"speculation is {options.speculation!r}; it must be 'auto' or 'off'", parameter="speculation"
        )


def _check_prompt(prompt: Sequence[int], limits: Limits) -> None:
    if not prompt:
        raise InvalidRequest("the prompt is empty; it needs at least one token", parameter="prompt")
    if len(prompt) >= limits.context_length:
        raise ContextExceeded(
            f"the prompt has {len(prompt)} tokens; a context of {limits.context_length} tokens, which prompt and output"
            f" share, takes prompts of at most {limits.context_length - 1}",
            parameter="prompt",
            code="context_length_exceeded",
            hint="shorten the prompt, or load the model with a longer context if it has one",
        )
    _check_token_ids("prompt", prompt, limits)


def _check_sampling(sampling: SamplingOptions, limits: Limits) -> None:
    for name, (low, high) in RANGES.items():
        check_number(name, getattr(sampling, name), low, high)
    check_integer("top_k", sampling.top_k, 0, 2**31 - 1)
    _check_token_ids("logit_bias", tuple(sampling.logit_bias), limits)
    for bias in sampling.logit_bias.values():
        check_number("logit_bias", bias, -LARGEST_BIAS, LARGEST_BIAS)
    if sampling.seed is not None:
        check_integer("seed", sampling.seed, -(2 ** (SEED_BITS - 1)), 2**SEED_BITS - 1)
    if sampling.logprobs is not None:
        check_integer("logprobs", sampling.logprobs, 0, limits.vocabulary)


def _check_stop(stop: StopOptions, limits: Limits) -> None:
    if stop.max_tokens is not None:
        check_integer("max_tokens", stop.max_tokens, 1, None)
    _check_token_ids("stop_token_ids", stop.token_ids, limits)
    if len(stop.strings) > MOST_STOP_STRINGS:
        raise InvalidRequest(
            f"stop has {len(stop.strings)} strings; at most {MOST_STOP_STRINGS} are taken", parameter="stop"
        )
    for string in stop.strings:
        if not 1 <= len(string) <= LONGEST_STOP_STRING:
            raise InvalidRequest(
                f"a stop string has {len(string)} characters; it must have 1 to {LONGEST_STOP_STRING}", parameter="stop"
            )
    if stop.strings and not limits.has_text:
        raise InvalidRequest("stop strings need a tokenizer, and this model has none", parameter="stop")


def _check_token_ids(name: str, ids: Sequence[int], limits: Limits) -> None:
    # The common case, a long list of plain ints, is decided without a loop in Python.
    if not ids or (set(map(type, ids)) == {int} and min(ids) >= 0 and max(ids) < limits.vocabulary):
        return
    for token_id in ids:
        check_integer(name, token_id, 0, limits.vocabulary - 1)


def check_integer(name: str, value: object, low: int, high: int | None) -> None:
    allowed = f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(f"{name} must be {allowed}, not {_name(value)}", parameter=name)
    if value < low or (high is not None and value > high):
        raise InvalidRequest(f"{name} is {_shown(value)}; it must be {allowed}", parameter=name)


def check_number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"{name} must be a number from {low:g} to {high:g}, not {_name(value)}", parameter=name)
    if not low <= value <= high:  # NaN is in no range
        raise InvalidRequest(f"{name} is {_shown(value)}; it must be a number from {low:g} to {high:g}", parameter=name)


def _shown(value: object) -> str:
    """The value in a message; Python refuses to print integers of thousands of digits."""
    return "an integer of over 30 digits" if isinstance(value, int) and abs(value) > 10**30 else str(value)


def _name(value: object) -> str:
    return type(value).__name__
