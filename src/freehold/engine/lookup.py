"""Guessing how a sequence goes on from what it said before: prompt lookup (Saxena 2023)."""

from __future__ import annotations

from collections.abc import Sequence

# Tokens that must be the same for what followed them to be a guess.
CONTEXT = 3
# How likely a guess is to come true after a wrong one, and after 0, 1, 2 to 3, 4 to 7, and 8 or more right ones in a
# row, as long as nothing is known of the sequence. Low at first: until a sequence has shown that it repeats itself, it
# costs nothing.
FIRST_CHANCES = (0.2, 0.2, 0.5, 0.7, 0.85, 0.93)
# Wrong guesses in a row after which a place is given up.
MOST_MISSES = 8
# Weight of the latest guess in the chances.
SMOOTHING = 0.125


class PromptLookup:
    """Follows one sequence and guesses its next tokens.

    The last CONTEXT tokens are looked up among all before them; what followed them there most lately is the guess.
    While guesses come true it goes on from there. A wrong guess may be a value that another one has taken the place of,
    as in forms and tables; unless the new one is known, too, it then goes on after the old one.

    Every guess of the one next token is held against the token that came, computed as a draft or not. So it is known at
    no cost how often guesses come true, and drafts that stopped being worth it begin again when they would be.
    """

    __slots__ = ("_chances", "_followers", "_length", "_misses", "_run", "_source")

    def __init__(self) -> None:
        self._followers: dict[tuple[int, ...], int] = {}  # where each run of CONTEXT tokens was last followed by one
        self._length = 0
        self._source: int | None = None  # position of the token that is the guess
        self._run = 0  # guesses in a row that came true; -1 after one that did not
        self._misses = 0  # guesses in a row that did not
        self._chances = list(FIRST_CHANCES)

    def read(self, tokens: Sequence[int]) -> None:
        """Take note of the tokens since last time.

        Args:
            tokens: of the sequence, which begins with what it began with before.
        """
        if self._length == 0:
            self._read_prompt(tokens)
        for position in range(self._length, len(tokens)):
            if self._source is not None:
                self._judge(self._source, tokens[self._source] == tokens[position])
            if position >= CONTEXT:
                self._followers[tuple(tokens[position - CONTEXT : position])] = position
            if self._source is None or self._misses:
                self._look_up(tuple(tokens[position + 1 - CONTEXT : position + 1]))
        self._length = len(tokens)

    def likelihoods(self, most: int) -> list[float]:
        """How likely it is that the next token is guessed right, that the next two are, and so on; [] without a guess.

        Args:
            most: guesses at most.
        """
        if self._source is None:
            return []
        found, likelihood = [], 1.0
        for run in range(self._run, self._run + most):
            likelihood *= self._chances[_class_of(run)]
            found.append(likelihood)
        return found

    def guess(self, tokens: Sequence[int], count: int) -> tuple[int, ...]:
        """The next `count` tokens after the ones that were read; () without a guess.

        Where what is copied comes to its end, it goes on with its own beginning, as a text does that repeats itself.
        """
        if self._source is None:
            return ()
        copied = list(tokens[self._source : self._source + count])
        period = len(tokens) - self._source
        while len(copied) < count:
            copied.append(copied[-period])
        return tuple(copied)

    def _read_prompt(self, tokens: Sequence[int]) -> None:
        """All at once, for nobody guessed them."""
        runs = zip(*(tokens[start:] for start in range(CONTEXT)), strict=False)
        self._followers.update(zip(runs, range(CONTEXT, len(tokens)), strict=False))
        self._length = len(tokens)
        self._source = self._followers.get(tuple(tokens[-CONTEXT:]))

    def _judge(self, source: int, came_true: bool) -> None:
        chosen = _class_of(self._run)
        self._chances[chosen] += SMOOTHING * (came_true - self._chances[chosen])
        self._misses = 0 if came_true else self._misses + 1
        self._run = max(self._run, 0) + 1 if came_true else -1
        self._source = source + 1 if self._misses <= MOST_MISSES else None

    def _look_up(self, context: tuple[int, ...]) -> None:
        found = self._followers.get(context)
        if found is not None:
            self._source, self._run, self._misses = found, 0, 0


def _class_of(run: int) -> int:
    return min(1 + run.bit_length(), len(FIRST_CHANCES) - 1) if run >= 0 else 0
