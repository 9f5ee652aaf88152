"""A model that needs no weights: what it says follows from the prompt and the seed, one byte per token.

It keeps the engine's contract with the engine's own parts (admission, stop strings, outputs), so tests of the server
that pass with it test the server.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from freehold.engine.admission import Admission, Permit
from freehold.engine.observer import EngineStats, Observer
from freehold.engine.stopping import Continuation, Detokeniser
from freehold.engine.types import FinishReason, GenerationRequest, Output, SamplingOptions, TokenOutput, Usage
from freehold.errors import ContextExceeded, TemplateError
from freehold.text.dialects import DIALECTS
from freehold.text.spelling import Spelling
from freehold.text.tokenizer import Marks, Tokenizer, Vocabulary

BOS, EOS, VOCABULARY = 256, 257, 260
BLOCK = 16
WORDS = ("tea ", "naïve ", "café ", "日本 ", "🙂 ", "fog\n", "<b> ", "0.5 ")


class ByteEncoder:
    """A token per byte."""

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        return list(text.encode())


def byte_tokenizer() -> Tokenizer:
    """Ids 0 to 255 are bytes; then come the marks, and two ids that stand for nothing."""
    names = {BOS: "<bos>", EOS: "<eos>"}
    vocabulary = Vocabulary(
        size=258,
        piece=lambda token_id: names.get(token_id, chr(token_id)),
        spelling=Spelling(steps=(lambda piece, opens: piece if isinstance(piece, bytes) else piece.encode("latin-1"),)),
        special={name: token_id for token_id, name in names.items()},
        raw=frozenset(names),
    )
    return Tokenizer(ByteEncoder(), vocabulary, Marks(bos_id=BOS, eos_ids=(EOS,), opening=(BOS,)))


class LineTemplate:
    """A line per message. Names are shown only where `shows_names` is set; a message "reject me" is rejected."""

    def __init__(self, *, shows_names: bool = False) -> None:
        self.shows_names = shows_names
        self.delay = 0.0

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, object] | None = None,
    ) -> str:
        if self.delay:
            threading.Event().wait(self.delay)
        if any(message["content"] == "reject me" for message in messages):
            raise TemplateError("the template rejects these messages: conversation roles must alternate")
        lines = []
        for message in messages:
            name = message.get("name", "") if self.shows_names else ""
            lines.append(f"{message['role']}{name}: {message['content']}\n")
        return "".join([*lines, "assistant: "])


@dataclass(frozen=True, slots=True)
class Numbers:
    """Stands for an array of logits."""

    content: bytes

    def tobytes(self) -> bytes:
        return self.content


@dataclass(frozen=True, slots=True)
class Shape:
    vocabulary: int = VOCABULARY


class FakeModel:
    """What `freehold.api.Model` looks like to the server."""

    def __init__(self, name: str = "fake", *, shows_names: bool = False, weights: bytes = b"", **options: Any) -> None:
        self.name = name
        self.weights = weights
        self.config = Shape()
        self.tokenizer = byte_tokenizer()
        self.template = LineTemplate(shows_names=shows_names)
        self.dialect = DIALECTS["plain"]
        self.recommended = SamplingOptions(temperature=0.0)
        self.engine = FakeEngine(**options)

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[Numbers]:
        return [Numbers(bytes([*sequence, *self.weights])) for sequence in sequences]

    def close(self) -> None:
        self.engine.close()


@dataclass(slots=True, eq=False)
class Job:
    """A sequence in the fake engine."""

    request: GenerationRequest
    sink: Callable[[Output], None]
    plan: list[int]
    continuation: Continuation
    started: float
    done: int = 0
    cancelled: bool = False


class FakeEngine:
    """Gives every sequence a token per turn, on a thread of its own.

    Args:
        context_length: most tokens of a sequence.
        permits: sequences that may be in it at once.
        words: how many words it says before it ends by itself.

    Attributes:
        gate: while it is cleared, no token is generated; cancelling works all the same.
        fails: while it is set, sequences fail instead of going on.
        pace: seconds between turns.
    """

    def __init__(
        self, *, context_length: int = 2048, permits: int = 64, words: int = 12, observer: Observer | None = None
    ) -> None:
        self.context_length = context_length
        self.admission = Admission(permits)
        self.gate = threading.Event()
        self.gate.set()
        self.fails = threading.Event()
        self.pace = 0.0
        self.submitted: list[GenerationRequest] = []
        self._words = words
        self._observer = observer or Observer()
        self._jobs: list[Job] = []
        self._changed = threading.Condition()
        self._closed = False
        self._generated = 0
        self._prompted = 0
        self._thread = threading.Thread(target=self._loop, name="fake-engine", daemon=True)
        self._thread.start()

    def submit(self, request: GenerationRequest, sink: Callable[[Output], None], permit: Permit) -> Ticket:
        room = self.context_length - len(request.prompt)
        if room < 1:
            raise ContextExceeded(f"the prompt has {len(request.prompt)} tokens", parameter="prompt")
        permit.take()
        plan = self._plan(request)
        most = min(request.stop.max_tokens or room, room)
        continuation = Continuation(request.stop, (EOS,), most, self._text(request))
        job = Job(request, sink, plan, continuation, monotonic())
        with self._changed:
            self.submitted.append(request)
            self._prompted += len(request.prompt)
            self._jobs.append(job)
            self._changed.notify()
        self._observer.started(0.0)
        return Ticket(self, job)

    def stats(self) -> EngineStats:
        with self._changed:
            used = sum(1 + (len(job.request.prompt) + job.done) // BLOCK for job in self._jobs)
            return EngineStats(
                running=len(self._jobs), waiting=0, blocks_total=4096, blocks_used=used, blocks_cached=0,
                blocks_free=4096 - used, preemptions=0, prompt_tokens=self._prompted, cached_tokens=0,
                generated_tokens=self._generated, drafted={"lookup": 3, "model": 5}, accepted={"lookup": 1, "model": 4},
            )  # fmt: skip

    def close(self) -> None:
        self.admission.close()
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.cancelled = True
            self._changed.notify()
        self._thread.join()

    def cancel(self, job: Job) -> None:
        with self._changed:
            job.cancelled = True
            self._changed.notify()

    def _text(self, request: GenerationRequest) -> Detokeniser:
        return byte_tokenizer().detokeniser(continues=True, shown=request.shown)

    def _plan(self, request: GenerationRequest) -> list[int]:
        sampling = request.sampling
        seed = 0 if sampling.temperature == 0 else sampling.seed
        source = random.Random(f"{request.prompt}/{seed}" if seed is not None else None)
        text = "".join(source.choice(WORDS) for _ in range(self._words))
        return [*text.encode(), EOS]

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not (self._closed and not self._jobs) and not self._has_work():
                    self._changed.wait(0.02)
                if self._closed and not self._jobs:
                    return
                if self.pace and not any(job.cancelled for job in self._jobs):
                    self._changed.wait(self.pace)
                jobs = list(self._jobs)
            for job in jobs:
                if job.cancelled:
                    self._end(job, Output("", (), FinishReason.CANCELLED))
                elif self.fails.is_set():
                    self._end(job, Output("", (), FinishReason.FAILED, error="no memory at 0x7f00dead in /opt/x.py"))
                elif self.gate.is_set():
                    self._advance(job)

    def _has_work(self) -> bool:
        stalled = not self.gate.is_set() and not self.fails.is_set()
        return any(job.cancelled or not stalled for job in self._jobs)

    def _advance(self, job: Job) -> None:
        output = job.continuation.push(self._token(job))
        job.done += 1
        self._generated += 1
        if job.done == 1:
            self._observer.first_token(monotonic() - job.started)
        else:
            self._observer.next_token(0.001)
        if output.finish_reason is not None:
            self._end(job, output)
        elif output.text or output.tokens:
            job.sink(output)

    def _token(self, job: Job) -> TokenOutput:
        going_on = job.request.stop.ignore_eos
        token_id = job.plan[job.done % (len(job.plan) - 1)] if going_on else job.plan[job.done]
        count = job.request.sampling.logprobs
        if count is None:
            return TokenOutput(token_id)
        # Spread over the vocabulary so that each alternative differs from the token itself.
        top = tuple(((token_id + 7 * rank) % 256, -0.5 - rank) for rank in range(count))
        return TokenOutput(token_id, -0.5, top)

    def _end(self, job: Job, output: Output) -> None:
        usage = Usage(len(job.request.prompt), 0, job.done)
        with self._changed:
            self._jobs.remove(job)
        self.admission.finish(job.started)
        self._observer.finished(output.finish_reason or FinishReason.FAILED, usage, monotonic() - job.started)
        job.sink(replace(output, usage=usage))


@dataclass(frozen=True, slots=True)
class Ticket:
    """Cancels a sequence of the fake engine."""

    engine: FakeEngine
    job: Job

    def cancel(self) -> None:
        self.engine.cancel(self.job)
