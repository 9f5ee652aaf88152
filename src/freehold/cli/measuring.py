"""Timing a model's prefill and decoding on the engine's own clock."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from freehold.engine.observer import Observer
from freehold.engine.types import FinishReason, GenerationRequest, SamplingOptions, StopOptions, Usage
from freehold.errors import FreeholdError
from freehold.store import Progress

if TYPE_CHECKING:
    from freehold.api import Model

WARM_UP_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Workload:
    """What is measured: tokens per prompt and per answer, sequences at the same time, and how often."""

    prompt: int
    generate: int
    concurrency: int
    repeats: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """Medians over the repeats.

    Attributes:
        first_token_seconds: from submission to the first token, of the median sequence.
        prefill_tokens_per_second: prompt tokens of all sequences, up to the last one's first token.
        decode_tokens_per_second: tokens of all sequences while all of them decode.
    """

    first_token_seconds: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: float


class Clock(Observer):
    """Notes when tokens come; used for one group of sequences at a time."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget everything and begin now."""
        self.begun = time.perf_counter()
        self.first: list[float] = []
        self.next: list[float] = []
        self.ended: list[float] = []

    def first_token(self, since_submit: float) -> None:
        self.first.append(time.perf_counter() - self.begun)

    def next_token(self, since_previous: float) -> None:
        self.next.append(time.perf_counter() - self.begun)

    def finished(self, reason: FinishReason, usage: Usage, since_submit: float) -> None:
        self.ended.append(time.perf_counter() - self.begun)

    def measurement(self, prompt_tokens: int) -> Measurement:
        """What one group's times say.

        Args:
            prompt_tokens: of all sequences together.
        """
        all_begun, one_ended = max(self.first), min(self.ended)
        decoded = sum(all_begun < moment <= one_ended for moment in self.next)
        return Measurement(median(self.first), prompt_tokens / all_begun, decoded / (one_ended - all_begun))


def measure(model: Model, clock: Clock, workload: Workload, report: Progress) -> Measurement:
    """Run groups of sequences with random prompts, one group after the other.

    Args:
        clock: the observer that the model was loaded with.
        report: told of every repeat.

    Raises:
        FreeholdError: a sequence failed.
    """
    draw = random.Random(0)
    vocabulary = model.config.vocabulary

    def prompts() -> list[tuple[int, ...]]:
        return [tuple(draw.randrange(vocabulary) for _ in range(workload.prompt)) for _ in range(workload.concurrency)]

    _run(model, prompts(), min(workload.generate, WARM_UP_TOKENS))
    found = []
    for repeat in range(workload.repeats):
        group = prompts()
        clock.restart()
        _run(model, group, workload.generate)
        found.append(clock.measurement(workload.prompt * workload.concurrency))
        report("measuring", repeat + 1, workload.repeats)
    return Measurement(
        median(one.first_token_seconds for one in found),
        median(one.prefill_tokens_per_second for one in found),
        median(one.decode_tokens_per_second for one in found),
    )


def _run(model: Model, prompts: Sequence[tuple[int, ...]], generate: int) -> None:
    greedy, stop = SamplingOptions(temperature=0), StopOptions(max_tokens=generate, ignore_eos=True)
    with ExitStack() as stack:
        streams = [
            stack.enter_context(model.engine.stream(GenerationRequest(prompt=prompt, sampling=greedy, stop=stop)))
            for prompt in prompts
        ]
        for stream in streams:
            for output in stream:
                if output.finish_reason is FinishReason.FAILED:
                    raise FreeholdError(output.error or "the request failed")
