"""A sequence as the scheduler knows it, and the step it decides on. Plain data: ids, counts and block numbers."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from freehold.engine.following import Following
from freehold.engine.lookup import PromptLookup
from freehold.engine.types import DraftSource, SamplingOptions

NO_SLOT = -1


def _no_blocks() -> array[int]:
    return array("i")


@dataclass(frozen=True, slots=True)
class Copy:
    """A block that is copied to another before a step computes: both begin with the same tokens, and then part."""

    source: int
    target: int


@dataclass(slots=True, eq=False, kw_only=True)
class Sequence:
    """One sequence, from submission to its end.

    Attributes:
        number: counts submissions; a smaller number is an older sequence.
        tokens: ids of the prompt, followed by those generated so far.
        prompt_length: how many of tokens are the prompt's.
        limit: most tokens, prompt and output together.
        sampling: how to draw; its seed is set.
        salt: sequences share cached prefixes only with those of an equal salt.
        blocks: cache blocks that hold its positions, in order.
        computed: positions whose keys and values are in the cache.
        registered: leading blocks that the prefix tree knows.
        cached: prompt tokens that came from the prefix cache when it first ran; None before that.
        copy: gives it the beginning of a block in its next step; until then it holds the source, too.
        slot: holds its state after `computed` positions, where the model has states; NO_SLOT before the first.
        next_slot: takes its state after the step at hand; NO_SLOT between steps.
        marks: positions, at the end of full blocks, at which its state is worth keeping for others.
        lookup: guesses its next tokens.
        following: what a draft model knows of it; None before it meets one.
    """

    number: int
    tokens: list[int]
    prompt_length: int
    limit: int
    sampling: SamplingOptions
    salt: str = ""
    blocks: array[int] = field(default_factory=_no_blocks)
    computed: int = 0
    registered: int = 0
    cached: int | None = None
    copy: Copy | None = None
    slot: int = NO_SLOT
    next_slot: int = NO_SLOT
    marks: tuple[int, ...] = ()
    lookup: PromptLookup = field(default_factory=PromptLookup)
    following: Following | None = None

    @property
    def remaining(self) -> int:
        """Tokens to compute before the next one can be drawn; 1 while decoding."""
        return len(self.tokens) - self.computed

    @property
    def generated(self) -> int:
        """Tokens drawn so far."""
        return len(self.tokens) - self.prompt_length


@dataclass(frozen=True, slots=True)
class Slots:
    """Where a step finds the state of a sequence (NO_SLOT for nowhere) and where it leaves it: never the same."""

    read: int
    write: int


@dataclass(frozen=True, slots=True)
class Work:
    """What a step does for one sequence: computes `count` tokens from position `sequence.computed` on.

    Attributes:
        slots: of its state; None for models without states.
        copy: to do beforehand.
        draft: tokens that are guessed to come next, computed along with it where it decodes. As many of them as are
            drawn anyway save a step each; what the others leave in the cache is written over by the next one.
        source: what its draft is counted under.
    """

    sequence: Sequence
    count: int
    slots: Slots | None = None
    copy: Copy | None = None
    draft: tuple[int, ...] = ()
    source: DraftSource = "lookup"

    @property
    def draws(self) -> bool:
        """Whether this brings the sequence to its end, so that its next token is drawn."""
        return self.count == self.sequence.remaining


@dataclass(frozen=True, slots=True)
class Step:
    """Work for several sequences, oldest first. They hold the blocks and slots that it writes to."""

    work: tuple[Work, ...]

    @property
    def decodes(self) -> bool:
        """Whether it gives every sequence its next token, or tokens, and does nothing else. Ask before `commit`."""
        return all(work.sequence.remaining == 1 for work in self.work)

    @property
    def rows(self) -> int:
        """Tokens that it computes, drafts among them."""
        return sum(work.count + len(work.draft) for work in self.work)
