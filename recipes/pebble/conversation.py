"""Examples as the token ids that training sees: what the chat template renders, and which of them are answers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tokenizers import Tokenizer

from recipes.pebble.grammar import Example, examples
from recipes.pebble.phrases import LANGUAGES, load_phrases
from recipes.pebble.tokenizer import ASSISTANT, BEGIN, END, SPECIAL_TOKENS, SYSTEM, USER

SYSTEM_SHARE = 0.05
# How many turns a training conversation has; most users send one message, a chat has several.
TURNS = (1, 2, 3, 4)
TURN_WEIGHTS = (90, 5, 3, 2)
# Batches that are drawn together and sorted by length.
POOLED = 64


@dataclass(frozen=True)
class Conversation:
    """Token ids of a conversation.

    Attributes:
        token_ids: everything, from the begin token to the last end token.
        answered: for each id whether the model has to produce it: the answers and their end tokens.
    """

    token_ids: list[int]
    answered: list[bool]


class Encoder:
    """Turns examples into conversations with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.special = {token: number for number, token in enumerate(SPECIAL_TOKENS)}

    def encode(self, turns: list[Example], system: str | None = None) -> Conversation:
        """A conversation of user messages, each with its answer, after an optional system message."""
        ids, answered = [self.special[BEGIN]], [False]

        def say(role: str, text: str, learned: bool) -> None:
            body = [*self.tokenizer.encode(text).ids, self.special[END]]
            ids.extend([self.special[role], *body])
            answered.extend([False, *[learned] * len(body)])

        if system is not None:
            say(SYSTEM, system, False)
        for example in turns:
            say(USER, example.message, False)
            say(ASSISTANT, example.answer, True)
        return Conversation(ids, answered)


def conversations(encoder: Encoder, seed: int) -> Iterator[Conversation]:
    """An endless stream of training conversations, no example twice on purpose."""
    rng = random.Random(f"conversations {seed}")
    stream = examples(seed)
    while True:
        system = None
        if rng.random() < SYSTEM_SHARE:
            system = rng.choice(load_phrases(rng.choice(LANGUAGES)).extras["system"])
        turns = rng.choices(TURNS, weights=TURN_WEIGHTS)[0]
        yield encoder.encode([next(stream) for _ in range(turns)], system)


def batches(encoder: Encoder, seed: int, size: int) -> Iterator[list[Conversation]]:
    """The training conversations in batches of similar length, so that little is padded, in random order."""
    rng = random.Random(f"batches {seed}")
    stream = conversations(encoder, seed)
    while True:
        pool = sorted(itertools.islice(stream, size * POOLED), key=lambda conversation: len(conversation.token_ids))
        starts = list(range(0, len(pool), size))
        rng.shuffle(starts)
        yield from (pool[start : start + size] for start in starts)
