"""The request model of /v1/completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from freehold.errors import InvalidRequest
from freehold.server.openai import fields
from freehold.server.openai.sampling import GenerationFields

MAX_LOGPROBS = 5
MAX_SEQUENCES = 32
"""Most sequences of one request: prompts times answers to each."""

DEFAULT_MAX_TOKENS = 16

Prompt = str | tuple[int, ...]


def _prompts(value: object) -> object:
    """OpenAI's four forms of `prompt` as a tuple of texts or of token ids."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise PydanticCustomError("prompt_type", "a string, an array of strings, or one or more arrays of token ids")
    if not value:
        raise PydanticCustomError("prompt_empty", "at least one prompt or token id")
    kinds = set(map(type, value))
    if kinds == {int}:
        return (tuple(value),)
    if kinds == {str}:
        return tuple(value)
    if kinds == {list} and all(ids and set(map(type, ids)) == {int} for ids in value):
        return tuple(tuple(ids) for ids in value)
    raise PydanticCustomError("prompt_type", "only strings, only token ids, or only non-empty arrays of token ids")


class CompletionRequest(GenerationFields):
    """OpenAI's CreateCompletionRequest: what of it we honour, and labels. `fields.COMPLETIONS` has the others."""

    prompt: Annotated[tuple[Prompt, ...], BeforeValidator(_prompts)]
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
    best_of: int | None = Field(None, ge=0, le=20)
    """Honoured where it asks for as many candidates as answers, so that there is nothing to choose between."""


def parse(body: Mapping[str, object]) -> CompletionRequest:
    """
    Raises:
        InvalidRequest: names the field at fault.
    """
    request = fields.parse(body, CompletionRequest, fields.COMPLETIONS)
    request.check_stream_options()
    if request.best_of not in (None, request.n):
        raise _unsupported("best_of", f"it must equal 'n', which is {request.n}; answers are not chosen among others")
    if request.echo and request.logprobs is not None:
        raise _unsupported("echo", "log-probabilities of prompts are not supported; leave out 'logprobs' or 'echo'")
    sequences = len(request.prompt) * request.n
    if sequences > MAX_SEQUENCES:
        raise InvalidRequest(
            f"Invalid value for 'prompt': {len(request.prompt)} prompts with {request.n} answers each are {sequences}"
            f" sequences; at most {MAX_SEQUENCES} are taken in one request.",
            parameter="prompt",
            code="invalid_value",
        )
    return request


def _unsupported(parameter: str, reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"Unsupported value for '{parameter}': {reason}.", parameter=parameter, code="unsupported_parameter"
    )
