"""The fields that chat and completions share, and their translation into the engine's options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from freehold.engine.types import SamplingOptions, StopOptions
from freehold.errors import InvalidRequest

MAX_CHOICES = 8
"""Most answers to one prompt (`n`); each is a sequence of its own in the engine."""

MAX_STOPS = 4
MAX_STOP_CHARACTERS = 1024
MAX_BIASES = 1024
LARGEST_TOKENS = 2**31 - 1

_WISHES = (
    "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
)  # fmt: skip


def _stops(value: object) -> object:
    """A stop string, or a list of them, as a list."""
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise PydanticCustomError("stop_type", "a string or an array of strings")
    if not 1 <= len(stops) <= MAX_STOPS:
        raise PydanticCustomError("stop_count", "between 1 and {most} strings", {"most": MAX_STOPS})
    if not all(1 <= len(stop) <= MAX_STOP_CHARACTERS for stop in stops):
        raise PydanticCustomError("stop_length", "strings of 1 to {most} characters", {"most": MAX_STOP_CHARACTERS})
    return tuple(stops)


def _biases(value: object) -> object:
    """Biases keyed by token id; JSON has only strings for keys."""
    if not isinstance(value, dict):
        raise PydanticCustomError("bias_type", "an object from token ids to numbers")
    if len(value) > MAX_BIASES:
        raise PydanticCustomError("bias_count", "at most {most} token ids", {"most": MAX_BIASES})
    if not all(key.isascii() and key.isdecimal() and len(key) < 10 for key in value):
        raise PydanticCustomError("bias_key", "token ids as keys")
    if not all(type(bias) in (int, float) and -100 <= bias <= 100 for bias in value.values()):
        raise PydanticCustomError("bias_value", "numbers from -100 to 100 as values")
    return {int(key): float(bias) for key, bias in value.items()}


class StreamOptions(BaseModel):
    """`stream_options`; obfuscation is padding against eavesdroppers, which a stream on loopback has no need of."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid", frozen=True)

    include_usage: bool = False
    include_obfuscation: bool = False


class GenerationFields(BaseModel):
    """What a request for a chat completion and one for a completion have in common."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid", frozen=True)

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    max_tokens: int | None = Field(None, ge=1, le=LARGEST_TOKENS)
    stop: Annotated[tuple[str, ...], BeforeValidator(_stops)] = ()
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: Annotated[dict[int, float], BeforeValidator(_biases)] = Field(default_factory=dict)

    user: str = ""
    """A label for the end user: by definition without effect on the output."""

    # Not OpenAI's: what the engine can do besides, as clients of other servers send it in extra_body.
    top_k: int | None = Field(None, ge=0, le=LARGEST_TOKENS)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, ge=0.01, le=10)
    stop_token_ids: list[int] = Field(default_factory=list, max_length=64)
    ignore_eos: bool = False

    def check_stream_options(self) -> None:
        """
        Raises:
            InvalidRequest: options of a stream that is none, or that we do not do.
        """
        if self.stream_options is None:
            return
        if not self.stream:
            raise InvalidRequest(
                "'stream_options' is only allowed together with 'stream': true.",
                parameter="stream_options",
                code="invalid_value",
            )
        if self.stream_options.include_obfuscation:
            raise InvalidRequest(
                "Unsupported value for 'stream_options.include_obfuscation': streams are not padded here.",
                parameter="stream_options.include_obfuscation",
                code="unsupported_parameter",
            )

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def check_token_ids(self, vocabulary_size: int) -> None:
        """
        Raises:
            InvalidRequest: `logit_bias` or `stop_token_ids` names a token that the model does not have.
        """
        check_token_ids(list(self.logit_bias), vocabulary_size, parameter="logit_bias")
        check_token_ids(self.stop_token_ids, vocabulary_size, parameter="stop_token_ids")

    def sampling(self, choice: int, logprobs: int | None, recommended: SamplingOptions) -> SamplingOptions:
        """The options of one of the `n` answers to a prompt.

        Args:
            recommended: what its makers recommend for the model; holds where the request leaves something open.
        """
        wishes = {name: getattr(self, name) for name in _WISHES if getattr(self, name) is not None}
        return replace(
            recommended,
            **wishes,
            logit_bias=self.logit_bias,
            seed=None if self.seed is None else choice_seed(self.seed, choice),
            logprobs=logprobs,
        )

    def stopping(self, max_tokens: int | None) -> StopOptions:
        return StopOptions(
            max_tokens=max_tokens,
            strings=self.stop,
            token_ids=tuple(self.stop_token_ids),
            ignore_eos=self.ignore_eos,
        )


def choice_seed(seed: int, choice: int) -> int:
    """The seed of one of several answers: the first one's is the request's own, so that n=1 and n=4 begin alike."""
    if choice == 0:
        return seed
    digest = blake2b(f"{seed}/{choice}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def check_token_ids(token_ids: Sequence[int], vocabulary_size: int, *, parameter: str) -> None:
    """
    Raises:
        InvalidRequest: one of the ids is not of the vocabulary.
    """
    if not token_ids or (min(token_ids) >= 0 and max(token_ids) < vocabulary_size):
        return
    wrong = next(token_id for token_id in token_ids if not 0 <= token_id < vocabulary_size)
    raise InvalidRequest(
        f"Invalid value for '{parameter}': token id {wrong} is not between 0 and {vocabulary_size - 1}.",
        parameter=parameter,
        code="invalid_value",
    )
