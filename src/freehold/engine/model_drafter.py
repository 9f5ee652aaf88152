"""A smaller model as a source of drafts (Leviathan et al. 2023, Chen et al. 2023)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Sequence as Listing
from dataclasses import dataclass
from itertools import islice
from time import monotonic

import numpy as np
import numpy.typing as npt

from freehold.engine.acceptance import Acceptance
from freehold.engine.draft_cache import DraftCache
from freehold.engine.drafts import Guess, Order
from freehold.engine.following import Following
from freehold.engine.model import LanguageModel
from freehold.engine.pace import Pace
from freehold.engine.ragged import Part, to_batch
from freehold.engine.reading import Reading
from freehold.engine.row_costs import MOST_ROWS, PassCosts
from freehold.engine.sampler import Sampler, SamplingRow
from freehold.engine.sequence import Sequence
from freehold.engine.types import DraftSource, TokenOutput

logger = logging.getLogger(__name__)

# What a pass of a draft model is taken to cost before that is measured, in steps of the model without drafts.
UNMEASURED_PASS = 0.25
# How much longer than planned a draft may become.
LONGER = 2
# Tokens that it may have to read for each one that is to come: reading so many takes about as long as a draft saves.
READ_FOR_ONE = 4
# What is less likely to come true is worth no planning, however cheap a pass is.
LEAST_CHANCE = 0.1
# One sequence of so many tries a draft model whose guesses do not come true.
SCOUTS = 8


@dataclass(frozen=True, slots=True)
class DraftModel:
    """What drafts: a model with the vocabulary of the one that it drafts for, and what draws from its logits."""

    model: LanguageModel
    sampler: Sampler


class ModelDrafter:
    """Guesses with a second model, which reads each sequence along and goes on from there by itself.

    It draws its guesses as the sequence draws its tokens: with the same options and the same random numbers, so that
    the more alike both models are, the more guesses come true, greedily or not.

    What it has not read yet (a prompt, what came while it was not asked) it reads first, a bounded number of tokens in
    a step, and not before the answer is long enough to be worth it. A model whose guesses do not come true is asked
    more and more seldom, and judged then by what it would have guessed for the latest tokens that came; in the end it
    is asked only in a few of the sequences.

    Args:
        draft: the model.
        blocks, block_size: shape of the cache of the model that it drafts for, which is that of its own.
        vocabulary: token ids of the model that it drafts for are below this.
        pace: how many tokens to read in a step.
        clock: seconds.
    """

    source: DraftSource = "model"

    def __init__(
        self,
        draft: DraftModel,
        *,
        blocks: int,
        block_size: int,
        vocabulary: int,
        pace: Pace,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._model, self._sampler = draft.model, draft.sampler
        caches = draft.model.create_cache(blocks, block_size)
        self._forward = draft.model.ops.graphed(lambda batch: draft.model.forward(batch, caches))
        self._cache = DraftCache(blocks, block_size)
        self._vocabulary = vocabulary
        self._pace = pace
        self._costs = PassCosts()
        self._clock = clock
        self._general = Acceptance()
        self._met = 0
        self._failed = False

    def offers(self, sequences: Listing[Sequence], most: Listing[int]) -> list[list[float]]:
        self._costs.age()
        return [self._offer(sequence, count) for sequence, count in zip(sequences, most, strict=True)]

    def cost(self, counts: Listing[int], plain_seconds: float | None) -> float:
        passes = [sum(count > index for count in counts) for index in range(max(counts, default=0))]
        if plain_seconds is None:
            return UNMEASURED_PASS * len(passes)
        # By itself a token never takes less than among those of a prompt.
        unmeasured = max(UNMEASURED_PASS * plain_seconds, self._pace.seconds_per_token)
        return sum(self._costs.seconds(rows, unmeasured) for rows in passes) / plain_seconds

    def reach(self, count: int) -> int:
        return LONGER * count

    def guess(self, orders: Listing[Order], least: float) -> list[Guess]:
        readings = [Reading(order, self._followed(order.sequence)) for order in orders]
        try:
            self._draft(readings, least)
        except Exception:
            # A draft is a help and no condition: without it, everything takes its time and comes out the same.
            logger.exception("the draft model failed; everything goes on without it")
            self._failed = True
            return [Guess()] * len(orders)
        return [Guess(tuple(reading.tokens), tuple(reading.likelihoods)) for reading in readings]

    def renewed(self, block: int) -> None:
        self._cache.renewed(block)

    def _offer(self, sequence: Sequence, most: int) -> list[float]:
        following, length = self._followed(sequence), len(sequence.tokens)
        unread = length - self._unread_from(sequence)
        most = min(most, self._model.config.context_length - length)
        # An answer that has come so far is taken to go on for as long again, for nobody knows where it ends.
        coming = min(sequence.limit - length, max(1, sequence.generated))
        if self._failed or not following.readable or unread > READ_FOR_ONE * coming:
            return []
        chance = following.expected(unread)
        if chance < LEAST_CHANCE:
            return []
        return [chance**count for count in range(1, most + 1)]

    def _followed(self, sequence: Sequence) -> Following:
        """What is known of a sequence, with its guesses judged by the tokens that have come."""
        following = sequence.following
        if following is None:
            following = Following(sequence, self._general, scout=self._met % SCOUTS == 0)
            sequence.following = following
            self._met += 1
        following.look_at(sequence.tokens, self._model.config.vocabulary)
        if following.guessed and len(sequence.tokens) > following.start:
            start, written, places = following.start, len(following.guessed) - 1, following.places
            right = following.settle(sequence.tokens)
            self._cache.settle(sequence, start, start + min(right, written), places)
        return following

    def _draft(self, readings: Listing[Reading], least: float) -> None:
        """Guess token by token for all together, each as far as it is worth it."""
        complete = self._read(readings)
        live = [reading for reading in complete if reading.goes_on(least)]
        while live:
            outputs = self._pass([one.next_part() for one in live], [one.next_row() for one in live])
            for reading, output in zip(live, outputs, strict=True):
                reading.add(output)
            live = [reading for reading in live if reading.goes_on(least)]
        for reading in complete:
            places = self._cache.places(reading.order.sequence, len(reading.order.sequence.tokens))
            reading.following.guess(len(reading.order.sequence.tokens), reading.guessed, places)

    def _read(self, readings: Listing[Reading]) -> list[Reading]:
        """Read what is missing, as far as that is not too much for one step.

        Returns:
            Those that are read to their end, each with a first guess.
        """
        budget = self._pace.chunk
        begun, parts, rows = list[Reading](), list[Part](), list[SamplingRow]()
        for reading in readings:
            sequence = reading.order.sequence
            start = self._unread_from(sequence)
            count = min(len(sequence.tokens) - start, budget) if reading.order.count else 0
            if not count:
                continue
            budget -= count
            reading.rows = reading.wanted(start) if start + count == len(sequence.tokens) else []
            begun.append(reading)
            parts.append(Part(sequence.tokens[start : start + count], start, sequence.blocks, len(reading.rows)))
            rows += reading.rows
        outputs = iter(self._pass(parts, rows))
        for reading, part in zip(begun, parts, strict=True):
            self._cache.fill(reading.order.sequence, part.start, part.start + len(part.token_ids))
            reading.read(list(islice(outputs, part.wanted)))
        return [reading for reading in begun if reading.tokens]

    def _unread_from(self, sequence: Sequence) -> int:
        """Where to go on reading: the last token is always read, for the guess is what follows it."""
        return min(self._cache.length(sequence), len(sequence.tokens) - 1)

    def _pass(self, parts: Listing[Part], rows: Listing[SamplingRow]) -> list[TokenOutput]:
        """Compute the parts and draw from the rows that they want."""
        if not parts:
            return []
        started = self._clock()
        logits = self._forward(to_batch(parts))
        outputs = self._sampler(self._fitted(self._model.ops.to_numpy(logits)), rows) if rows else []
        count, seconds = sum(len(part.token_ids) for part in parts), self._clock() - started
        if count <= MOST_ROWS:
            self._costs.note(count, seconds)
        else:
            self._pace.note(count, seconds)
        return outputs

    def _fitted(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Logits of the tokens that the other model has: the widths may differ by tokens that stand for nothing."""
        missing = self._vocabulary - logits.shape[1]
        if missing > 0:
            return np.pad(logits, ((0, 0), (0, missing)), constant_values=-np.inf)
        return logits if not missing else np.ascontiguousarray(logits[:, : self._vocabulary])
