"""The phrase files, and the small language that their templates are written in.

A template is text with `(a|b)` for a choice, `[rule]` for an expansion of one of the file's rules and `{slot}` for a
value. `expand` resolves the choices and rules; the slots are left for grammar.py.
"""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Language = Literal["en", "fr", "es"]
Part = Literal["train", "held_out"]
LANGUAGES: tuple[Language, ...] = ("en", "fr", "es")
CATEGORIES = ("complaint", "order", "refund", "outage", "invoice", "question")

_FOLDER = Path(__file__).parent / "phrases"
_RULE = re.compile(r"\[(\w+)\]")
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")


@dataclass(frozen=True)
class Phrases:
    """What one language's file holds.

    Attributes:
        rules: name -> alternatives, which may use other rules.
        categories: category -> part -> templates of the sentence that decides the category.
        priority: "urgent" | "high" | "low" -> part -> sentences that decide the priority.
        sentiment: "negative" | "positive" -> part -> sentences that decide the sentiment.
        extras: kind -> sentences that decide nothing, or that hold the order number or the product.
        determiners: name -> forms for a masculine, feminine, masculine before a vowel, feminine before a vowel noun.
        endings: name -> forms that agree with a masculine, feminine product.
        contractions: text -> replacement, for a preposition that merges with an article.
        products: "goods" | "services" -> (noun, is feminine) pairs.
        noun_last: whether a brand precedes the noun ("Velora kettle") or follows it.
        values: names, cities, dates and other material for slots.
    """

    language: Language
    rules: dict[str, list[str]]
    categories: dict[str, dict[Part, list[str]]]
    priority: dict[str, dict[Part, list[str]]]
    sentiment: dict[str, dict[Part, list[str]]]
    extras: dict[str, list[str]]
    determiners: dict[str, list[str]]
    endings: dict[str, list[str]]
    contractions: dict[str, str]
    products: dict[str, list[tuple[str, bool]]]
    noun_last: bool
    values: dict[str, list[str]]

    def expand(self, template: str, rng: random.Random) -> str:
        """The template with every rule and choice resolved; slots stay as `{slot}`."""
        while _RULE.search(template):
            template = _RULE.sub(lambda found: rng.choice(self.rules[found[1]]), template)
        while _CHOICE.search(template):
            template = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), template)
        return re.sub(r" {2,}", " ", template).strip()


def _products(table: dict[str, Any]) -> dict[str, list[tuple[str, bool]]]:
    return {
        kind: [(noun, False) for noun in table[kind]["masculine"]] + [(noun, True) for noun in table[kind]["feminine"]]
        for kind in ("goods", "services")
    }


@cache
def load_phrases(language: Language) -> Phrases:
    """The phrases of a language, read once from `phrases/<language>.toml`."""
    with (_FOLDER / f"{language}.toml").open("rb") as file:
        table = tomllib.load(file)
    return Phrases(
        language=language,
        products=_products(table["products"]),
        noun_last=table["products"]["noun_last"],
        **{name: table[name] for name in table if name != "products"},
    )
