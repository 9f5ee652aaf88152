"""Keyword arguments of `generate` and `chat`, and how they become a request."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict

from freehold.engine.stream import OutputStream
from freehold.engine.types import FinishReason, GenerationRequest, SamplingOptions, StopOptions
from freehold.errors import FreeholdError

if TYPE_CHECKING:
    from freehold.text.dialects import Event, Parser


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


def to_request(
    prompt: Sequence[int], options: GenerationOptions, recommended: SamplingOptions, *, shown: Sequence[int] = ()
) -> GenerationRequest:
    """The request that a prompt and keyword arguments describe.

    Args:
        shown: control tokens that are to be seen in the text.

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
        shown=tuple(shown),
    )


def texts(outputs: OutputStream) -> Generator[str]:
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


def events(outputs: OutputStream, parser: Parser) -> Generator[Event]:
    """What the text of a request consists of, as it comes; closing the iterator cancels the request.

    Raises:
        FreeholdError: as `texts`.
    """
    with closing(texts(outputs)) as pieces:
        for piece in pieces:
            yield from parser.push(piece)
    yield from parser.finish()


def contents(found: Generator[Event]) -> Generator[str]:
    """The answer alone, without reasoning and calls; closing the iterator closes the other."""
    from freehold.text.dialects import Content  # not for `--help`

    with closing(found):
        for event in found:
            if isinstance(event, Content):
                yield event.text
