"""What the engine's thread does: one step after the other, and the bookkeeping between them."""

from __future__ import annotations

import logging
from dataclasses import replace
from time import monotonic
from typing import Protocol

from freehold.engine.job import Job
from freehold.engine.observer import EngineStats
from freehold.engine.pace import Pace
from freehold.engine.row_costs import RowCosts
from freehold.engine.scheduler import Scheduler
from freehold.engine.sequence import Step
from freehold.engine.types import DRAFT_SOURCES, FinishReason, Output, TokenOutput
from freehold.errors import FreeholdError

logger = logging.getLogger(__name__)

NOTHING = Output("")


class StepRunner(Protocol):
    """Carries out a step; see `Runner`."""

    def run(self, step: Step) -> list[list[TokenOutput]]: ...


class Worker:
    """Owns the scheduler, the runner and the jobs. Used by one thread only, but for `stats`.

    Attributes:
        stats: a snapshot that is replaced as a whole, so that any thread may read it. It is up to date before the last
            output of a request goes out.
    """

    def __init__(self, scheduler: Scheduler, runner: StepRunner, pace: Pace, costs: RowCosts) -> None:
        self._scheduler = scheduler
        self._runner = runner
        self._pace = pace
        self._costs = costs
        self._jobs: dict[int, Job] = {}  # by the number of its sequence
        self._prepared = set[int]()  # numbers of rows that a step of decoding has had
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._generated_tokens = 0
        self._publish()

    @property
    def busy(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self._jobs)

    def add(self, job: Job) -> None:
        """Queue a job, whose sequence fits the cache."""
        self._scheduler.add(job.sequence)
        self._jobs[job.sequence.number] = job
        self._publish()

    def cancel(self, job: Job) -> None:
        """End a job early; nothing happens if it has ended already."""
        if job.sequence.number in self._jobs:
            self._end(job, FinishReason.CANCELLED)

    def end_all(self, reason: FinishReason, error: str | None = None) -> None:
        """End every job, for the same reason."""
        for job in list(self._jobs.values()):
            self._end(job, reason, error)

    def advance(self) -> None:
        """Compute one step, if there is anything to compute. A request that cannot be computed fails, by itself."""
        if not self._jobs:
            return
        step = self._scheduler.schedule(self._pace.chunk)
        for work in step.work:
            self._jobs[work.sequence.number].start()
        self._publish()
        decodes, started = step.decodes, monotonic()
        self._execute(step)
        seconds = monotonic() - started
        if decodes:
            # The first step of so many rows prepares what later ones only repeat, so its time says nothing of theirs.
            if step.rows in self._prepared:
                self._costs.note(step.rows, seconds)
            self._prepared.add(step.rows)
        else:
            self._pace.note(step.rows, seconds)

    def _execute(self, step: Step) -> None:
        """Run a step. If that fails, run its parts alone, so that only those fail that cannot be computed, and those
        without their drafts, for what follows a token that would never be drawn must not make a request fail.

        Running a part again is harmless: it writes the same values to the same places, and draws the same tokens.
        """
        try:
            drawn = self._runner.run(step)
        except Exception as error:
            if len(step.work) > 1:
                for work in step.work:
                    self._execute(Step((work,)))
                return
            (work,) = step.work
            if work.draft:
                self._execute(Step((replace(work, draft=()),)))
                return
            logger.exception("a request failed")
            self._end(self._jobs[work.sequence.number], FinishReason.FAILED, _describe(error))
            return
        drawing = [self._jobs[work.sequence.number] for work in step.work if work.draws]
        self._scheduler.commit(step, [[token.token_id for token in tokens] for tokens in drawn])
        for job, tokens in zip(drawing, drawn, strict=True):
            for token in tokens:
                if job.sequence.number not in self._jobs:
                    break  # its text ended within an accepted draft
                self._deliver(job, token)

    def _deliver(self, job: Job, token: TokenOutput) -> None:
        try:
            output = job.push(token)
        except Exception as error:
            logger.exception("the text of a request failed")
            self._end(job, FinishReason.FAILED, _describe(error))
            return
        if output.finish_reason is not None:
            self._end(job, output.finish_reason, output=output)
        elif (output.text or output.tokens) and not job.send(output):
            self._end(job, FinishReason.CANCELLED)

    def _end(self, job: Job, reason: FinishReason, error: str | None = None, output: Output = NOTHING) -> None:
        """Free what the job holds, and only then tell its listener."""
        self._scheduler.remove(job.sequence)
        del self._jobs[job.sequence.number]
        usage = job.usage
        self._prompt_tokens += usage.prompt_tokens
        self._cached_tokens += usage.cached_tokens
        self._generated_tokens += usage.completion_tokens
        self._publish()
        job.end(output, reason, error)

    def _publish(self) -> None:
        scheduler, pool = self._scheduler, self._scheduler.pool
        self.stats = EngineStats(
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            blocks_total=pool.count,
            blocks_used=pool.used,
            blocks_cached=pool.idle,
            blocks_free=pool.free,
            preemptions=scheduler.preemptions,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            generated_tokens=self._generated_tokens,
            drafted={source: scheduler.drafted[source] for source in DRAFT_SOURCES},
            accepted={source: scheduler.accepted[source] for source in DRAFT_SOURCES},
        )


def _describe(error: Exception) -> str:
    """For the caller: our own messages as they are, of others only the kind, for they may tell of the machine."""
    if isinstance(error, FreeholdError):
        return error.message
    return f"computing the request failed ({type(error).__name__})"
