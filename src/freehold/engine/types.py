"""What goes into the engine and what comes out of it: plain data, no arrays, no JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, TypeAlias, TypedDict


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """How the next token is drawn.

    Attributes:
        temperature: divides the logits; 0 takes the most likely token.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the smallest set of tokens whose probability reaches this; 1 keeps all.
        min_p: drop tokens less likely than this times the most likely one; 0 drops none.
        repetition_penalty: divides positive and multiplies negative logits of tokens in prompt or output; 1 is off.
        presence_penalty: subtracted from the logits of tokens already in the output; 0 is off.
        frequency_penalty: subtracted once for each time a token is already in the output; 0 is off.
        logit_bias: added to the logits of these token ids.
        seed: keys the random draws together with the position; None draws a seed from the system.
        logprobs: how many of the most likely tokens to report beside the chosen one; None reports nothing.
            Log-probabilities are those of the model, before temperature, penalties and filters.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    seed: int | None = None
    logprobs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOptions:
    """When generation ends.

    Attributes:
        max_tokens: at most this many tokens; None, or more than fit, up to the end of the context.
        strings: generation ends before the earliest of these; none of it is returned.
        token_ids: end after any of these, besides the model's own end-of-sequence ids; their text is not returned.
        ignore_eos: go on past the model's own end-of-sequence ids.
    """

    max_tokens: int | None = None
    strings: tuple[str, ...] = ()
    token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One sequence to continue.

    Attributes:
        prompt: token ids, at least one.
        shown: ids of control tokens that are to be seen in the text, where they usually are left out.
        cache_salt: only requests with an equal salt share cached prefixes, so that tenants who must not learn of each
            other's prompts from response times get one each.
    """

    prompt: tuple[int, ...]
    sampling: SamplingOptions = SamplingOptions()
    stop: StopOptions = StopOptions()
    shown: tuple[int, ...] = ()
    cache_salt: str = ""


class FinishReason(StrEnum):
    """Why a sequence ended. The first two are OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TokenOutput:
    """A generated token.

    Attributes:
        token_id: its id.
        logprob: its log-probability, where the request asked for it.
        top: (token id, log-probability) of the most likely tokens, most likely first.
    """

    token_id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one sequence: in the prompt, of those taken from the prefix cache, and generated."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Output:
    """What became certain since the previous output of the same sequence.

    Attributes:
        text: text that no later token can change any more; may be empty.
        tokens: the tokens whose text this output completes.
        finish_reason: set on the last output of the sequence, and only there.
        usage: set together with finish_reason.
        error: what went wrong, where finish_reason is FAILED.
    """

    text: str
    tokens: tuple[TokenOutput, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: str | None = None


# What guessed the tokens of a draft: a sequence's own text, or a draft model.
DraftSource: TypeAlias = Literal["lookup", "model"]
DRAFT_SOURCES: tuple[DraftSource, ...] = ("lookup", "model")

SpeculationName: TypeAlias = Literal["auto", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Limits of one engine.

    Attributes:
        context_length: most positions of a sequence, prompt and output together; None takes the model's own.
        block_size: positions per cache block.
        cache_tokens: positions that the cache has room for, of all sequences together; None chooses from free memory.
        max_sequences: sequences computed together in one step.
        prefill_chunk: most prompt tokens computed in one step.
        prefix_cache: whether finished sequences' blocks are kept for later requests with the same beginning.
        max_waiting: requests admitted beyond those running; more are refused with Overloaded.
        speculation: "auto" computes several tokens of a sequence in one step where its own earlier text, or a draft
            model, suggests them and that is expected to be faster, with the very same results; "off" computes them one
            by one.
    """

    context_length: int | None = None
    block_size: int = 16
    cache_tokens: int | None = None
    max_sequences: int = 16
    prefill_chunk: int = 256
    prefix_cache: bool = True
    max_waiting: int = 112
    speculation: SpeculationName = "auto"


class EngineKeywords(TypedDict, total=False):
    """The fields of `EngineOptions` but the context length, as keyword arguments."""

    block_size: int
    cache_tokens: int | None
    max_sequences: int
    prefill_chunk: int
    prefix_cache: bool
    max_waiting: int
    speculation: SpeculationName
