"""How right the answers to a set of examples are, field by field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from recipes.pebble.grammar import FIELDS, Example
from recipes.pebble.phrases import LANGUAGES

# Gives the text of the answer to a message.
Answerer = Callable[[str], str]


@dataclass
class Score:
    """Counts of right answers.

    Attributes:
        examples: messages that were answered.
        lines: answers equal to the expected line, character for character.
        fields: for each field the answers whose value is exactly the expected one.
    """

    examples: int = 0
    lines: int = 0
    fields: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FIELDS, 0))

    def add(self, example: Example, answer: str) -> None:
        """Counts one answer."""
        values = parse(answer)
        self.examples += 1
        self.lines += answer == example.answer
        for name in FIELDS:
            self.fields[name] += name in values and values[name] == getattr(example, name)

    def shares(self) -> dict[str, object]:
        """The counts as shares of 1; `all_fields` is the mean over the fields.

        Raises:
            ValueError: nothing was scored.
        """
        if self.examples == 0:
            raise ValueError("no example was scored")
        fields = {name: round(right / self.examples, 4) for name, right in self.fields.items()}
        return {
            "examples": self.examples,
            "all_fields": round(sum(self.fields.values()) / len(FIELDS) / self.examples, 4),
            "lines": round(self.lines / self.examples, 4),
            "fields": fields,
        }


def parse(answer: str) -> dict[str, object]:
    """The answer's fields; none at all when it is not one JSON object."""
    try:
        values = json.loads(answer)
    except json.JSONDecodeError:
        return {}
    return values if isinstance(values, dict) else {}


def score(answer: Answerer, examples: Iterable[Example]) -> dict[str, object]:
    """Shares over all examples, and for each language that occurs under `languages`."""
    total = Score()
    languages = {language: Score() for language in LANGUAGES}
    for example in examples:
        text = answer(example.message)
        total.add(example, text)
        languages[example.language].add(example, text)
    parts = {language: part.shares() for language, part in languages.items() if part.examples}
    return {**total.shares(), "languages": parts}
