"""Keyword arguments of `generate` and `chat`, and how they become a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

from freehold.engine.stream import OutputStream
from freehold.engine.types import FinishReason, GenerationRequest, SamplingOptions, StopOptions
from freehold.errors import FreeholdError


class GenerationOptions(TypedDict, total=False):
    """What a caller may set; see `SamplingOptions` and `StopOptions` for the meaning.

    What is left out follows the model's recommended sampling, and for the rest the defaults there.
    """

    max_tokens: int | None
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[int, float]
    seed: int | None
    stop: str | Sequence[str]
    stop_token_ids: Sequence[int]
    ignore_eos: bool


def to_request(prompt: Sequence[int], options: GenerationOptions, recommended: SamplingOptions) -> GenerationRequest:
    """The request that a prompt and keyword arguments describe.

    Raises:
        TypeError: a keyword that does not exist.
    """
    unknown = sorted(set(options) - set(GenerationOptions.__annotations__))
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}; known: {', '.join(GenerationOptions.__annotations__)}")
    sampling: dict[str, Any] = {
        name: value for name, value in options.items() if name in SamplingOptions.__dataclass_fields__
    }
    stop = options.get("stop", ())
    return GenerationRequest(
        prompt=tuple(prompt),
        sampling=replace(recommended, **sampling),
        stop=StopOptions(
            max_tokens=options.get("max_tokens"),
            strings=(stop,) if isinstance(stop, str) else tuple(stop),
            token_ids=tuple(options.get("stop_token_ids", ())),
            ignore_eos=options.get("ignore_eos", False),
        ),
    )


def texts(outputs: OutputStream) -> Iterator[str]:
    """The text of a request as it comes; closing the iterator cancels the request.

    Raises:
        FreeholdError: the request failed, or the engine was closed before it ended.
    """
    with outputs:
        for output in outputs:
            if output.text:
                yield output.text
            if output.finish_reason is FinishReason.FAILED:
                raise FreeholdError(output.error or "the request failed")
            if output.finish_reason is FinishReason.CANCELLED:
                raise FreeholdError("the request was cancelled because the model was closed")
