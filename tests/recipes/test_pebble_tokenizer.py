"""The tokenizer and chat template of pebble, and the conversations that training sees."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from recipes.pebble import tokenizer as recipe
from recipes.pebble.conversation import Encoder, batches
from recipes.pebble.grammar import examples
from recipes.pebble.values import order_number

TOKENIZER = recipe.train_tokenizer(seed=3, count=1500)


def render(messages: list[dict[str, str]], *, add_generation_prompt: bool = False) -> str:
    def fail(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = fail
    template = environment.from_string(recipe.CHAT_TEMPLATE)
    return template.render(messages=messages, bos_token=recipe.BEGIN, add_generation_prompt=add_generation_prompt)


def test_special_tokens_come_first() -> None:
    assert [TOKENIZER.token_to_id(token) for token in recipe.SPECIAL_TOKENS] == [0, 1, 2, 3, 4]


@given(st.text())
def test_any_text_survives(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


def test_order_numbers_become_single_characters() -> None:
    rng = random.Random(1)
    for _ in range(300):
        number = order_number(rng)
        if number.isupper() or not any(letter.isalpha() for letter in number):
            tokens = TOKENIZER.encode(f'"{number}"').tokens[1:-1]
            assert max(len(token) for token in tokens) == 1


def test_messages_are_short_in_tokens() -> None:
    lengths = [len(TOKENIZER.encode(example.message).ids) for example in itertools.islice(examples(4), 300)]
    assert sum(lengths) / len(lengths) < 60


def test_template_renders_several_turns() -> None:
    turns = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": " hello \n"},
        {"role": "assistant", "content": "{}"},
        {"role": "user", "content": "again"},
    ]
    assert render(turns, add_generation_prompt=True) == (
        "<|begin|><|system|>be brief<|end|><|user|>hello<|end|><|assistant|>{}<|end|><|user|>again<|end|><|assistant|>"
    )


def test_template_refuses_an_unknown_role() -> None:
    with pytest.raises(jinja2.TemplateError, match="not tool"):
        render([{"role": "tool", "content": "x"}])


def test_training_sees_exactly_what_the_template_renders() -> None:
    encoder = Encoder(TOKENIZER)
    turns = list(itertools.islice(examples(8), 2))
    messages = [{"role": "system", "content": "classify"}]
    for example in turns:
        messages += [{"role": "user", "content": example.message}, {"role": "assistant", "content": example.answer}]
    conversation = encoder.encode(turns, "classify")
    assert conversation.token_ids == TOKENIZER.encode(render(messages)).ids


def test_only_answers_and_their_ends_are_learned() -> None:
    turns = list(itertools.islice(examples(9), 2))
    conversation = Encoder(TOKENIZER).encode(turns)
    learned = [token for token, wanted in zip(conversation.token_ids, conversation.answered, strict=True) if wanted]
    text = TOKENIZER.decode(learned, skip_special_tokens=False)
    assert text == "".join(example.answer + recipe.END for example in turns)
    assert not conversation.answered[0]


def test_batches_hold_conversations_of_similar_length() -> None:
    stream = batches(Encoder(TOKENIZER), seed=2, size=4)
    lengths = [[len(conversation.token_ids) for conversation in next(stream)] for _ in range(64)]
    assert all(len(batch) == 4 for batch in lengths)
    padded = sum(4 * max(batch) for batch in lengths)
    assert padded < 1.15 * sum(sum(batch) for batch in lengths)
    assert len({min(batch) for batch in lengths[:8]}) > 1


def test_saved_files_say_how_to_begin_and_end(tmp_path: Path) -> None:
    recipe.save_tokenizer(TOKENIZER, tmp_path)
    loaded = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert loaded.encode("Où est ma commande ?").ids == TOKENIZER.encode("Où est ma commande ?").ids
    settings: dict[str, Any] = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    generation: dict[str, Any] = json.loads((tmp_path / "generation_config.json").read_text(encoding="utf-8"))
    assert settings["chat_template"] == recipe.CHAT_TEMPLATE
    assert generation["eos_token_id"] == loaded.token_to_id(settings["eos_token"])
