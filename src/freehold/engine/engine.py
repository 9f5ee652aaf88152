"""The engine: one thread that computes, and safe doors to it for all others."""

from __future__ import annotations

import atexit
import logging
import secrets
import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import count
from queue import SimpleQueue

from freehold.engine.admission import Admission, Permit
from freehold.engine.drafting_limits import check_draft, obstacle_to_drafts
from freehold.engine.drafts import Drafter
from freehold.engine.job import Job, Sink
from freehold.engine.lookup_drafter import LookupDrafter
from freehold.engine.memory import SLOTS_PER_SEQUENCE, choose_cache_tokens, choose_state_slots
from freehold.engine.model import LanguageModel
from freehold.engine.model_drafter import DraftModel, ModelDrafter
from freehold.engine.observer import EngineStats, Observer
from freehold.engine.pace import Pace
from freehold.engine.row_costs import RowCosts
from freehold.engine.runner import Runner
from freehold.engine.sampler import Sampler
from freehold.engine.scheduler import Scheduler
from freehold.engine.sequence import Sequence
from freehold.engine.speculation import Speculation
from freehold.engine.stopping import Continuation, Detokeniser
from freehold.engine.stream import OutputStream
from freehold.engine.types import EngineOptions, FinishReason, GenerationRequest, Output
from freehold.engine.validation import SEED_BITS, Limits, validate_options, validate_request
from freehold.engine.worker import Worker
from freehold.errors import EngineStopped

logger = logging.getLogger(__name__)


class Ticket:
    """A submitted request."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel

    def cancel(self) -> None:
        """End the request before the next step; its last output says CANCELLED. Does nothing once it has ended."""
        self._cancel()


class Engine:
    """Computes many sequences together on a thread of its own. Every method may be called from any thread.

    Args:
        model: what computes. Only the engine's thread calls `forward`.
        sampler: draws tokens from logits.
        options: limits; None takes the defaults.
        detokeniser: makes one for what follows a request's prompt; None for a model without a tokenizer, whose
            outputs then have no text.
        end_ids: the model's own end-of-sequence ids.
        observer: told of the times of single requests.
        draft: a smaller model of the same vocabulary, which guesses tokens for this one to verify.

    Attributes:
        options: its limits.
        context_length: most tokens of a sequence, prompt and output together: that of the options or else the model's,
            and never more than the cache holds.
        admission: hands out the permits, one for each sequence.

    Raises:
        InvalidRequest: an option is out of range, there is no memory for the state of a single sequence, or the model
            cannot have drafts, or the draft model cannot make any.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        sampler: Sampler,
        options: EngineOptions | None = None,
        detokeniser: Callable[[GenerationRequest], Detokeniser] | None = None,
        end_ids: Collection[int] = (),
        observer: Observer | None = None,
        draft: DraftModel | None = None,
    ) -> None:
        options = options or EngineOptions()
        validate_options(options, model.config.context_length)
        if draft is not None:
            check_draft(model, draft.model, options)
        wanted = options.context_length or model.config.context_length
        states = _state_slots(model, options)
        position = model.cache_bytes_per_token() + (0 if draft is None else draft.model.cache_bytes_per_token())
        blocks = _cache_blocks(model, options, wanted, position, states * model.state_bytes_per_sequence())
        self.options = options
        self.context_length = min(wanted, blocks * options.block_size)
        if self.context_length < wanted:
            logger.warning("the cache holds %d tokens, fewer than the context of %d", self.context_length, wanted)
        self.admission = Admission(options.max_sequences + options.max_waiting)
        self._limits = Limits(model.config.vocabulary, self.context_length, detokeniser is not None)
        self._detokeniser = detokeniser
        self._end_ids = frozenset(end_ids)
        self._observer = observer or Observer()
        costs = RowCosts()
        self._worker = Worker(
            Scheduler(
                blocks=blocks,
                block_size=options.block_size,
                max_sequences=options.max_sequences,
                prefix_cache=options.prefix_cache,
                states=states,
                speculation=_speculation(model, draft, options, blocks, costs),
            ),
            Runner(model, sampler, blocks=blocks, block_size=options.block_size, states=states),
            Pace(options.prefill_chunk),
            costs,
        )
        self._numbers = count()
        self._wake = threading.Condition()  # guards the three below
        self._arrivals: list[Job] = []
        self._cancelled: list[Job] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="freehold-engine", daemon=True)
        self._thread.start()
        # A daemon thread inside native code must not outlive the interpreter.
        atexit.register(self.close)

    def submit(self, request: GenerationRequest, sink: Sink, permit: Permit | None = None) -> Ticket:
        """Queue a request.

        Args:
            sink: called on the engine's thread with each output, the last of which has a finish_reason. It must return
                at once; if it raises, the request is cancelled.
            permit: one that was taken from `admission` before; None takes one now.

        Raises:
            Overloaded: no permit is left.
            InvalidRequest: a field cannot be honoured.
            ContextExceeded: the prompt does not fit.
            EngineStopped: the engine has stopped.
        """
        granted = permit or self.admission.try_acquire()
        granted.take()
        try:
            job = self._accept(request, sink)
        except BaseException:
            granted.give_back()
            if permit is None:
                granted.release()
            raise
        return Ticket(lambda: self._cancel(job))

    def stream(self, request: GenerationRequest, permit: Permit | None = None) -> OutputStream:
        """Submit a request and iterate over its outputs; raises as `submit` does, here and not on iteration."""
        outputs: SimpleQueue[Output] = SimpleQueue()
        return OutputStream(outputs, self.submit(request, outputs.put, permit))

    def stats(self) -> EngineStats:
        """The state after the latest step."""
        with self._wake:
            stats, arrivals = self._worker.stats, len(self._arrivals)
        return replace(stats, waiting=stats.waiting + arrivals)

    @property
    def alive(self) -> bool:
        """Whether requests can be computed: False after `close`, or after an error in the engine itself."""
        return self._thread.is_alive() and not self._stopping

    def drain(self, timeout: float) -> bool:
        """Refuse new work and wait until what was admitted has finished.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether everything finished in time. `close` cancels the rest.
        """
        self.admission.close()
        return self.admission.wait_until_empty(timeout)

    def close(self) -> None:
        """Cancel what is left and stop the thread. A second call does nothing."""
        atexit.unregister(self.close)
        self.admission.close()
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _accept(self, request: GenerationRequest, sink: Sink) -> Job:
        validate_request(request, self._limits)
        length, most = len(request.prompt), request.stop.max_tokens
        limit = self.context_length if most is None else min(length + most, self.context_length)
        seed = request.sampling.seed if request.sampling.seed is not None else secrets.randbits(SEED_BITS)
        detokeniser = None if self._detokeniser is None else self._detokeniser(request)
        continuation = Continuation(request.stop, self._end_ids, limit - length, detokeniser)
        with self._wake:
            if self._stopping:
                raise EngineStopped("the engine has stopped")
            sequence = Sequence(
                number=next(self._numbers),
                tokens=list(request.prompt),
                prompt_length=length,
                limit=limit,
                sampling=replace(request.sampling, seed=seed),
                salt=request.cache_salt,
            )
            job = Job(sequence, continuation, sink, self.admission, self._observer)
            self._arrivals.append(job)
            self._wake.notify()
        return job

    def _cancel(self, job: Job) -> None:
        with self._wake:
            self._cancelled.append(job)
            self._wake.notify()

    def _loop(self) -> None:
        reason, error = FinishReason.CANCELLED, None
        try:
            while self._collect():
                self._worker.advance()
        except Exception:
            # The books are wrong, so whatever we computed now might be, too: better no engine than a wrong one.
            logger.exception("the engine stops because of an error of its own")
            reason, error = FinishReason.FAILED, "the engine stopped because of an internal error"
            self.admission.close()
            with self._wake:
                self._stopping = True
                stranded, self._arrivals = self._arrivals, []
            for job in stranded:
                self._worker.add(job)
        self._worker.end_all(reason, error)

    def _collect(self) -> bool:
        """Take over what came in, sleeping while there is nothing to do; False when it is time to stop."""
        with self._wake:
            while not (self._arrivals or self._cancelled or self._stopping or self._worker.busy):
                self._wake.wait()
            arrivals, self._arrivals = self._arrivals, []
            cancelled, self._cancelled = self._cancelled, []
            stopping = self._stopping
        for job in arrivals:
            self._worker.add(job)
        for job in cancelled:
            self._worker.cancel(job)
        return not stopping


def _speculation(
    model: LanguageModel, draft: DraftModel | None, options: EngineOptions, blocks: int, costs: RowCosts
) -> Speculation | None:
    if options.speculation == "off" or obstacle_to_drafts(model) is not None:
        return None
    drafters: list[Drafter] = [LookupDrafter()]
    if draft is not None:
        drafters.append(
            ModelDrafter(
                draft,
                blocks=blocks,
                block_size=options.block_size,
                vocabulary=model.config.vocabulary,
                pace=Pace(options.prefill_chunk),
            )
        )
    return Speculation(costs, drafters)


def _state_slots(model: LanguageModel, options: EngineOptions) -> int:
    size = model.state_bytes_per_sequence()
    slots = choose_state_slots(
        max_sequences=options.max_sequences, bytes_per_state=size, available_bytes=model.ops.available_bytes()
    )
    if size and slots < SLOTS_PER_SEQUENCE * options.max_sequences:
        logger.warning(
            "there is memory for the states of %d sequences at once, fewer than max_sequences, %d",
            slots // SLOTS_PER_SEQUENCE,
            options.max_sequences,
        )
    return slots


def _cache_blocks(
    model: LanguageModel, options: EngineOptions, context_length: int, bytes_per_token: int, taken_bytes: int
) -> int:
    tokens = options.cache_tokens
    if tokens is None:
        tokens = choose_cache_tokens(
            context_length=context_length,
            max_sequences=options.max_sequences,
            block_size=options.block_size,
            bytes_per_token=bytes_per_token,
            available_bytes=max(0, model.ops.available_bytes() - taken_bytes),
        )
    return tokens // options.block_size
