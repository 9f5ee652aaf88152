"""The training loop, on a model small enough to take seconds."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from freehold.models.loading import load_model
from freehold.models.state import initial_checkpoint, snapshot
from freehold.ops.batch import Batch
from freehold.ops.torch import TorchOps
from recipes.pebble.conversation import Encoder
from recipes.pebble.grammar import examples
from recipes.pebble.settings import Course, Shape
from recipes.pebble.short_attention import ShortSequenceOps
from recipes.pebble.tokenizer import save_tokenizer, train_tokenizer
from recipes.pebble.train import Packed, beginning, evaluate, schedule, train

TINY = Shape(hidden=32, intermediate=48, layers=2, heads=4, kv_heads=2)
COURSE = Course(steps=12, batch=4, warm_up=2, evaluate_every=8, evaluated=6)
TOKENIZER = train_tokenizer(seed=3, count=800)
CPU = torch.device("cpu")


def run(folder: Path) -> list[str]:
    save_tokenizer(TOKENIZER, folder)
    return list(train(folder, TINY, COURSE))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("pebble")
    return folder, run(folder)


def test_training_leaves_a_whole_folder_and_no_partial_file(trained: tuple[Path, list[str]]) -> None:
    folder, _ = trained
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
    }
    weights = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert all(weight.dtype == np.float16 for weight in weights.values())
    assert weights["model.embed_tokens.weight"].shape == (config["vocab_size"], config["hidden_size"])
    assert "lm_head.weight" not in weights


def test_the_log_ends_with_the_evaluation(trained: tuple[Path, list[str]]) -> None:
    summary = json.loads(trained[1][-1])
    assert summary["steps"] == COURSE.steps
    assert summary["conversations"] == COURSE.steps * COURSE.batch
    assert set(summary["exact_lines"]) == {"fresh", "kept_out", "kept_out_cues"}


def test_training_changes_every_weight_and_is_repeatable(trained: tuple[Path, list[str]], tmp_path: Path) -> None:
    first = load_file(trained[0] / "model.safetensors")
    run(tmp_path)
    again = load_file(tmp_path / "model.safetensors")
    start = initial_checkpoint(TINY.config(), COURSE.seed)
    for name, weight in first.items():
        np.testing.assert_array_equal(weight, again[name])
        assert not np.array_equal(weight, start.read(name).float32().astype(np.float16))


def test_plain_attention_equals_the_fused_kernel() -> None:
    batch = Batch.whole([[5, 6, 7, 8, 9], [10], [11, 12, 13]])
    start = initial_checkpoint(TINY.config(), 1)
    fused = load_model(start, TorchOps(CPU)).forward(batch, None)
    plain = load_model(start, ShortSequenceOps(CPU)).forward(batch, None)
    torch.testing.assert_close(plain, fused, rtol=1e-5, atol=1e-6)


def test_packing_learns_answers_only_or_everything() -> None:
    encoder = Encoder(TOKENIZER)
    group = [encoder.encode([example]) for example in itertools.islice(examples(2), 3)]
    pack = Packed.of(group, CPU)
    wanted = [token for one in group for token, answered in zip(one.token_ids, one.answered, strict=True) if answered]
    assert pack.targets.tolist() == wanted
    assert pack.answers.all()
    whole = Packed.of(group, CPU, messages=True)
    assert whole.targets.tolist() == [token for one in group for token in one.token_ids[1:]]
    assert whole.targets[whole.answers].tolist() == wanted
    assert torch.bincount(whole.lines).tolist() == [len(one.token_ids) - 1 for one in group]


def test_an_untrained_model_has_no_line_right() -> None:
    encoder = Encoder(TOKENIZER)
    pack = Packed.of([encoder.encode([example]) for example in itertools.islice(examples(2), 3)], CPU)
    model = load_model(initial_checkpoint(TINY.config(), 1), TorchOps(CPU))
    assert evaluate(model, {"fresh": [pack]}) == {"fresh": 0.0}


def test_the_learning_rate_rises_then_falls() -> None:
    course = Course(steps=1000, warm_up=100)
    rates = [schedule(step, course, step / course.steps) for step in range(course.steps)]
    assert rates[:100] == sorted(rates[:100])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert max(rates) == 1.0
    assert rates[-1] == pytest.approx(0.05, abs=0.001)


def test_training_goes_on_from_a_folder(trained: tuple[Path, list[str]]) -> None:
    weights = load_file(trained[0] / "model.safetensors")
    model = beginning(TINY, COURSE, TorchOps(CPU), trained[0])
    for name, tensor in snapshot(model, TINY.config()).contents.items():
        np.testing.assert_array_equal(tensor.float32(), weights[name].astype(np.float32))


def test_a_run_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="steps is 0"):
        Course(steps=0)
