"""The scoring, with answerers that are not models."""

from __future__ import annotations

import itertools
import json

import pytest

from recipes.pebble.evaluate import evaluation_sets
from recipes.pebble.grammar import FIELDS, examples, is_reserved
from recipes.pebble.scoring import Score, parse, score

EXAMPLES = list(itertools.islice(examples(21), 120))
ANSWERS = {example.message: example.answer for example in EXAMPLES}


def test_right_answers_score_one_everywhere() -> None:
    result = score(ANSWERS.__getitem__, EXAMPLES)
    assert result["lines"] == result["all_fields"] == 1.0
    assert result["fields"] == dict.fromkeys(FIELDS, 1.0)
    languages = result["languages"]
    assert isinstance(languages, dict)
    assert set(languages) == {"en", "fr", "es"}
    assert sum(part["examples"] for part in languages.values()) == len(EXAMPLES)


def test_one_wrong_field_costs_that_field_and_the_line() -> None:
    def answer(message: str) -> str:
        return json.dumps({**json.loads(ANSWERS[message]), "order_number": "A-1"}, ensure_ascii=False)

    result = score(answer, EXAMPLES)
    assert result["lines"] == 0.0
    assert result["fields"] == {**dict.fromkeys(FIELDS, 1.0), "order_number": 0.0}
    assert result["all_fields"] == pytest.approx(5 / 6, abs=1e-4)


def test_other_spacing_is_right_in_fields_but_not_as_a_line() -> None:
    result = score(lambda message: json.dumps(json.loads(ANSWERS[message]), indent=1), EXAMPLES)
    assert result["all_fields"] == 1.0
    assert result["lines"] == 0.0


@pytest.mark.parametrize("answer", ["", "sorry", "[1, 2]", '{"language": "en"', "null"])
def test_an_answer_that_is_no_object_has_no_right_field(answer: str) -> None:
    assert parse(answer) == {}
    assert score(lambda _: answer, EXAMPLES)["all_fields"] == 0.0


def test_a_missing_key_is_not_null() -> None:
    without = next(example for example in EXAMPLES if example.product is None)
    values = json.loads(without.answer)
    del values["product"]
    one = Score()
    one.add(without, json.dumps(values))
    assert one.fields["product"] == 0
    assert one.fields["language"] == 1


def test_scoring_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no example"):
        score(str, [])


def test_evaluation_sets_are_reserved_and_repeatable() -> None:
    sets = evaluation_sets(seed=4, count=30)
    assert sets == evaluation_sets(seed=4, count=30)
    assert list(sets) == ["fresh", "kept_out", "kept_out_cues"]
    assert all(is_reserved(example.message) for part in sets.values() for example in part)
