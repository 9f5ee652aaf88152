"""The message generator: deterministic, consistent labels, and kept-out phrases that stay out."""

from __future__ import annotations

import itertools
import json
import random
import re
import unicodedata

import pytest

from recipes.pebble.grammar import FIELDS, PRIORITIES, SENTIMENTS, Example, examples, generate, is_reserved
from recipes.pebble.noise import Segment, add_noise, typo, without_accents
from recipes.pebble.phrases import CATEGORIES, LANGUAGES, Language, load_phrases
from recipes.pebble.values import brand, order_number

COUNT = 3000


@pytest.fixture(scope="module")
def trained() -> list[Example]:
    return list(itertools.islice(examples(11), COUNT))


@pytest.fixture(scope="module")
def fresh() -> list[Example]:
    return list(itertools.islice(examples(12, reserved=True), COUNT))


def words(text: str) -> str:
    """Lower-case letters only, so that typing noise in case, accents and punctuation does not hide a phrase."""
    return re.sub(r"[^a-z ]+", " ", without_accents(text).lower())


def test_same_seed_gives_the_same_examples() -> None:
    first, again = (list(itertools.islice(examples(5), 50)) for _ in range(2))
    assert first == again
    assert first != list(itertools.islice(examples(6), 50))


def test_the_global_generator_plays_no_part() -> None:
    random.seed(1)
    first = generate(random.Random(3))
    random.seed(2)
    assert generate(random.Random(3)) == first


def test_answer_is_one_line_of_json_with_the_keys_in_order(trained: list[Example]) -> None:
    for example in trained:
        assert "\n" not in example.answer
        values = json.loads(example.answer)
        assert tuple(values) == FIELDS
        assert values["language"] in LANGUAGES
        assert values["category"] in CATEGORIES
        assert values["priority"] in PRIORITIES
        assert values["sentiment"] in SENTIMENTS


def test_order_number_and_product_stand_in_the_message(trained: list[Example]) -> None:
    for example in trained:
        assert example.order_number is None or example.order_number in example.message
        assert example.product is None or example.product in example.message


def test_every_value_occurs_in_every_language(trained: list[Example]) -> None:
    for language in LANGUAGES:
        mine = [example for example in trained if example.language == language]
        assert {example.category for example in mine} == set(CATEGORIES)
        assert {example.priority for example in mine} == set(PRIORITIES)
        assert {example.sentiment for example in mine} == set(SENTIMENTS)
        for values in ([example.product for example in mine], [example.order_number for example in mine]):
            assert 0.2 < sum(value is None for value in values) / len(mine) < 0.8


def test_no_slot_rule_or_choice_is_left_over(trained: list[Example]) -> None:
    for example in trained:
        assert not re.search(r"[{}\[\]|()]", example.message)
        assert example.message == example.message.strip()


def test_messages_for_training_and_for_evaluation_are_disjoint(trained: list[Example], fresh: list[Example]) -> None:
    assert all(is_reserved(example.message) for example in fresh)
    assert not any(is_reserved(example.message) for example in trained)
    assert not {example.message for example in trained} & {example.message for example in fresh}


def longest_fixed_text(template: str) -> str:
    """The longest run of a template that every message made from it holds."""
    return max(re.split(r"\([^()]*\)|\[\w+\]|\{[^{}]*\}", template), key=len)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_template_is_in_both_parts(language: Language) -> None:
    phrases = load_phrases(language)
    for table in (phrases.categories, phrases.priority, phrases.sentiment):
        for parts in table.values():
            assert not set(parts["train"]) & set(parts["held_out"])
            assert len(parts["train"]) >= 10
            assert len(parts["held_out"]) >= 3


def test_kept_out_templates_never_occur_in_training(trained: list[Example]) -> None:
    kept = {
        language: [
            longest_fixed_text(template)
            for table in (phrases.categories, phrases.priority, phrases.sentiment)
            for parts in table.values()
            for template in parts["held_out"]
        ]
        for language in LANGUAGES
        for phrases in [load_phrases(language)]
    }
    telling = {language: [words(text).strip() for text in texts if len(text) > 24] for language, texts in kept.items()}
    assert all(len(texts) > 15 for texts in telling.values())
    for example in trained:
        message = words(example.message)
        assert not [text for text in telling[example.language] if text in message]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_template_fills(language: Language) -> None:
    phrases = load_phrases(language)
    rng = random.Random(1)
    for table in (phrases.categories, phrases.priority, phrases.sentiment):
        for parts in table.values():
            for template in (*parts["train"], *parts["held_out"]):
                text = phrases.expand(template, rng)
                assert "[" not in text
                assert "|" not in text
                assert text


def test_noise_never_touches_an_order_number() -> None:
    rng = random.Random(4)
    for _ in range(2000):
        number = order_number(rng)
        segments = [Segment("¿Dónde está mi pedido "), Segment(number, "order"), Segment("? Estoy muy molesta.")]
        noisy = add_noise(segments, rng)
        assert [part.text for part in noisy if part.kind == "order"] == [number]


def test_noise_keeps_the_letters_of_a_product() -> None:
    rng = random.Random(4)
    seen = set()
    for _ in range(500):
        noisy = add_noise([Segment("J'attends la "), Segment("Machine à café", "product")], rng)
        seen.add(noisy[1].text)
    assert {without_accents(text).lower() for text in seen} == {"machine a cafe"}
    assert len(seen) > 3


def test_a_typo_keeps_the_first_letter_and_nearly_the_length() -> None:
    rng = random.Random(9)
    for _ in range(500):
        slipped = typo("livraison", rng)
        assert slipped[0] == "l"
        assert abs(len(slipped) - len("livraison")) <= 1


def test_order_numbers_are_many_and_of_many_shapes() -> None:
    rng = random.Random(2)
    numbers = [order_number(rng) for _ in range(5000)]
    assert len(set(numbers)) > 4900
    shapes = {re.sub(r"\d", "9", re.sub(r"[A-Z]", "A", number)) for number in numbers}
    assert len(shapes) > 200
    assert all(sum(letter.isdigit() for letter in number) >= 3 for number in numbers)
    assert not any(re.search(r"\s", number) for number in numbers)


def test_brands_are_invented_again_and_again() -> None:
    rng = random.Random(2)
    brands = {brand(rng) for _ in range(2000)}
    assert len(brands) > 1900
    assert all(unicodedata.category(name[0]) == "Lu" for name in brands)


def test_articles_agree_and_contract() -> None:
    messages = [example.message for example in itertools.islice(examples(3), COUNT)]
    joined = " ".join(messages).lower()
    assert "l'imprimante" in joined
    assert not re.search(r"\bde el\b|\ba el\b|\bde le\b|\ba an\b", joined)
