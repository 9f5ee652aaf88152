"""The model that the package carries keeps what its card says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import freehold
from freehold.cli.demo import MESSAGE
from recipes.pebble.evaluate import MOST_TOKENS, evaluation_sets
from recipes.pebble.grammar import FIELDS, Example
from recipes.pebble.scoring import parse

FOLDER = Path(freehold.__file__).parent / "bundled" / "pebble"
LARGEST = 8_000_000
EXAMPLES = 60
SEED = 41


@pytest.fixture(scope="module")
def pebble() -> Iterator[freehold.Model]:
    with freehold.load("pebble") as model:
        yield model


@pytest.fixture(scope="module")
def answers(pebble: freehold.Model) -> list[tuple[Example, str]]:
    """Fresh messages and their answers, many at a time."""
    chosen = evaluation_sets(SEED, EXAMPLES)["fresh"]
    with ThreadPoolExecutor(16) as pool:
        texts = pool.map(lambda example: ask(pebble, example.message), chosen)
    return list(zip(chosen, texts, strict=True))


def ask(model: freehold.Model, message: str) -> str:
    return model.chat([{"role": "user", "content": message}], max_tokens=MOST_TOKENS, temperature=0)


def test_it_is_small_and_has_a_card() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= LARGEST
    card = (FOLDER / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "kept-out" in card


def test_the_message_of_the_readme_is_read_right(pebble: freehold.Model) -> None:
    values = json.loads(ask(pebble, MESSAGE))
    assert tuple(values) == FIELDS
    assert values["order_number"] == "A-48213"
    assert values["product"] == "kettle"
    assert values["language"] == "en"


def test_every_answer_is_json_with_the_fields_in_order(answers: list[tuple[Example, str]]) -> None:
    assert all(tuple(parse(text)) == FIELDS for _, text in answers)


def test_nineteen_of_twenty_fields_are_exact(answers: list[tuple[Example, str]]) -> None:
    right = sum(parse(text).get(name) == getattr(example, name) for example, text in answers for name in FIELDS)
    assert right >= 0.95 * len(answers) * len(FIELDS)


def test_order_numbers_that_nobody_has_seen_are_copied(answers: list[tuple[Example, str]]) -> None:
    numbered = [(example, text) for example, text in answers if example.order_number is not None]
    assert len(numbered) > EXAMPLES / 3
    copied = sum(parse(text).get("order_number") == example.order_number for example, text in numbered)
    assert copied >= 0.95 * len(numbered)


def test_a_system_message_and_earlier_turns_do_no_harm(pebble: freehold.Model) -> None:
    first = {"role": "user", "content": "Where is my order B-20417? It should have come on Monday."}
    reply = pebble.chat([first], max_tokens=MOST_TOKENS, temperature=0)
    conversation = [first, {"role": "assistant", "content": reply}, {"role": "user", "content": MESSAGE}]
    assert json.loads(pebble.chat(conversation, max_tokens=MOST_TOKENS, temperature=0))["order_number"] == "A-48213"
