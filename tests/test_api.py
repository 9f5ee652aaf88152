"""The Python API on a tiny model in a folder, natively, and where it matters on PyTorch."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freehold
from freehold import api
from freehold.engine.types import SamplingOptions
from freehold.errors import (
    BackendUnavailable,
    ConfigError,
    ContextExceeded,
    EngineStopped,
    InvalidRequest,
    ModelNotFound,
    TemplateError,
    TokenizerError,
)
from freehold.models import Decoder
from freehold.ops.batch import Batch
from tests.support.tiny_folder import ASSISTANT, CONTEXT, write_tiny_model

GREEDY: Any = {"temperature": 0, "max_tokens": 12, "ignore_eos": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[freehold.Model]:
    with freehold.load(folder) as loaded:
        yield loaded


@pytest.fixture
def no_text(tmp_path: Path) -> Iterator[freehold.Model]:
    with freehold.load(write_tiny_model(tmp_path / "mute", tokenizer=False)) as loaded:
        yield loaded


def test_what_a_loaded_model_says_of_itself(model: freehold.Model) -> None:
    assert model.name == "tiny"
    assert model.config.context_length == CONTEXT
    assert model.engine.context_length == CONTEXT
    assert model.engine is model.engine
    assert model.recommended == SamplingOptions()


def test_generate_returns_the_text_and_streams_the_same(model: freehold.Model) -> None:
    text = model.generate("hello", **GREEDY)
    assert text
    pieces = model.generate("hello", stream=True, **GREEDY)
    assert "".join(pieces) == text


def test_token_ids_are_taken_as_they_are(model: freehold.Model) -> None:
    assert model.generate(model.tokenizer.encode("hello"), **GREEDY) == model.generate("hello", **GREEDY)


def test_greedy_text_is_what_the_logits_say(model: freehold.Model) -> None:
    ids = model.tokenizer.encode("hello")
    for _ in range(12):
        ids.append(int(model.logits([ids])[0][-1].argmax()))
    expected = model.tokenizer.decode(ids[-12:], continues=True)
    assert model.generate("hello", **GREEDY) == expected


def test_chat_answers_after_the_template(model: freehold.Model) -> None:
    messages = [{"role": "user", "content": "hello"}]
    prompt = model.template.render(messages)
    assert prompt.endswith(ASSISTANT)
    ids = model.tokenizer.encode(prompt, add_special=False)
    assert model.chat(messages, **GREEDY) == model.generate(ids, **GREEDY)
    assert "".join(model.chat(messages, stream=True, **GREEDY)) == model.chat(messages, **GREEDY)


def test_seeds_repeat(model: freehold.Model) -> None:
    texts = [model.generate("a", max_tokens=16, temperature=1.5, seed=seed, ignore_eos=True) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_stop_strings_are_not_returned(model: freehold.Model) -> None:
    text = model.generate("hello", **GREEDY)
    stop = text[3]
    assert model.generate("hello", stop=stop, **GREEDY) == text[: text.index(stop)]


def test_recommended_sampling_applies_unless_the_caller_chooses(folder: Path, tmp_path: Path) -> None:
    copy = write_tiny_model(tmp_path / "greedy")
    (copy / "generation_config.json").write_text('{"do_sample": false}')
    with freehold.load(copy) as greedy:
        assert greedy.recommended.temperature == 0
        by_default = greedy.generate("hello", max_tokens=12, ignore_eos=True)
        assert by_default == greedy.generate("hello", **GREEDY)
        assert by_default != greedy.generate("hello", max_tokens=12, ignore_eos=True, temperature=2.0, seed=3)


def test_bad_options_are_refused_before_work(model: freehold.Model) -> None:
    with pytest.raises(InvalidRequest, match="temperature"):
        model.generate("a", temperature=float("nan"))
    with pytest.raises(InvalidRequest, match="empty"):
        model.generate([])
    with pytest.raises(TypeError, match="max_token"):
        model.generate("a", max_token=3)  # type: ignore[call-overload]
    with pytest.raises(ContextExceeded, match=str(CONTEXT)):
        model.generate([1] * CONTEXT)
    assert len(list(model.generate([1] * (CONTEXT - 1), ignore_eos=True, stream=True))) == 1


def test_logits_of_several_sequences_are_those_of_each(model: freehold.Model) -> None:
    sequences = [[1], [5, 6, 7], list(range(200)), [9, 9]]
    together = model.logits(sequences)
    for sequence, logits in zip(sequences, together, strict=True):
        assert logits.dtype == np.float32
        assert logits.shape == (len(sequence), model.config.vocabulary)
        assert np.array_equal(model.logits([sequence])[0], logits)
    assert model.logits([]) == []


def test_logits_are_computed_in_bounded_batches(model: freehold.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    decoder: Any = model.network
    forward = decoder.forward

    def counted(batch: Batch, caches: None) -> Any:
        sizes.append(batch.tokens)
        return forward(batch, caches)

    monkeypatch.setattr(api, "LOGITS_TOKENS", 20)
    monkeypatch.setattr(decoder, "forward", counted)
    assert [len(rows) for rows in model.logits([[1] * 8, [1] * 8, [1] * 8, [1] * 30, [1] * 3])] == [8, 8, 8, 30, 3]
    assert sizes == [16, 8, 30, 3]


@pytest.mark.parametrize("sequence", [[], [-1], [10**6], [1] * (CONTEXT + 1)])
def test_bad_sequences_are_refused(model: freehold.Model, sequence: list[int]) -> None:
    with pytest.raises(InvalidRequest):
        model.logits([[1], sequence])


def test_logits_may_be_asked_for_while_text_is_generated(model: freehold.Model) -> None:
    expected = model.logits([[1, 2, 3]])[0]
    pieces = model.generate("hello", stream=True, temperature=0, max_tokens=100, ignore_eos=True)
    found: list[bool] = []

    def ask() -> None:
        found.extend(np.array_equal(model.logits([[1, 2, 3]])[0], expected) for _ in range(20))

    asking = threading.Thread(target=ask)
    asking.start()
    text = "".join(pieces)
    asking.join()
    assert found == [True] * 20
    assert text == model.generate("hello", temperature=0, max_tokens=100, ignore_eos=True)


def test_without_tokenizer_files_logits_work_and_text_says_what_is_missing(no_text: freehold.Model) -> None:
    assert no_text.logits([[1, 2]])[0].shape == (2, no_text.config.vocabulary)
    for use in (lambda: no_text.generate("a"), lambda: no_text.chat([]), lambda: no_text.tokenizer):
        with pytest.raises(TokenizerError, match="without tokenizer files") as caught:
            use()
        assert "tokenizer.json" in (caught.value.hint or "")


def test_without_a_template_chat_says_so(tmp_path: Path) -> None:
    with (
        freehold.load(write_tiny_model(tmp_path / "plain", template=False)) as plain,
        pytest.raises(TemplateError, match="without a chat template"),
    ):
        plain.chat([{"role": "user", "content": "hello"}])


def test_engine_options_arrive(folder: Path) -> None:
    with freehold.load(folder, context_length=32, cache_tokens=64, max_sequences=2, block_size=8) as model:
        assert model.engine.context_length == 32
        assert model.engine.stats().blocks_total == 8
        assert model.engine.options.max_sequences == 2
    with freehold.load(folder, context_length=CONTEXT + 1) as model, pytest.raises(InvalidRequest, match="257"):
        model.generate("a")


def test_a_closed_model_computes_no_text(folder: Path) -> None:
    model = freehold.load(str(folder))
    model.generate("a", max_tokens=1)
    model.close()
    model.close()
    with pytest.raises(EngineStopped, match="closed"):
        model.generate("a")


def test_progress_reaches_the_total(folder: Path) -> None:
    reports: list[tuple[int, int]] = []
    freehold.load(folder, progress=lambda done, total: reports.append((done, total))).close()
    assert reports[-1][0] == reports[-1][1] == len(reports)


@pytest.mark.parametrize("dtype", ["q4", "q8", "f16", "f32"])
def test_every_dtype_generates(folder: Path, dtype: str) -> None:
    with freehold.load(folder, dtype=dtype) as model:
        assert model.generate("hello", **GREEDY)


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_caches_of_every_type_generate(folder: Path, backend: str) -> None:
    """With codes of 8 bits logits are a little different, and half of the cache's room is enough."""
    found = {}
    for cache_type in ("q8", "f16", "f32"):
        with freehold.load(folder, backend=backend, cache_type=cache_type) as model:
            assert model.generate("hello", **GREEDY)
            decoder = model.network
            assert isinstance(decoder, Decoder)
            found[cache_type] = model.logits([[1, 2, 3]])[0], decoder.cache_bytes_per_token()
    (q8, q8_bytes), (f16, f16_bytes), (f32, f32_bytes) = found.values()
    assert 0 < np.abs(f16 - f32).max() < np.abs(q8 - f32).max() < 0.05 * np.abs(f32).max()
    assert (f32_bytes, q8_bytes) == (2 * f16_bytes, f16_bytes * (16 + 2 * 2) // 32)  # heads of 8 features


def test_unknown_names_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'q5'.*q4"):
        freehold.load(folder, dtype="q5")
    with pytest.raises(ConfigError, match="cache_type is 'q4'; known: q8, f16, f32"):
        freehold.load(folder, cache_type="q4")
    with pytest.raises(BackendUnavailable, match="tpu"):
        freehold.load(folder, backend="tpu")
    with pytest.raises(ModelNotFound):
        freehold.load(tmp_path / "absent")


def test_without_pytorch_its_backend_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendUnavailable) as caught:
        freehold.load(folder, backend="torch")
    assert caught.value.hint == "pip install 'freehold[torch]'"


def test_the_torch_backend_gives_the_same_greedy_text(folder: Path, model: freehold.Model) -> None:
    with freehold.load(folder, backend="torch") as other:
        assert np.allclose(other.logits([[1, 2, 3]])[0], model.logits([[1, 2, 3]])[0], rtol=1e-4, atol=1e-4)
        assert other.generate("hello", **GREEDY) == model.generate("hello", **GREEDY)
        texts = [other.generate("hello", max_tokens=8, seed=seed, ignore_eos=True) for seed in (1, 1)]
        assert texts[0] == texts[1]


def test_a_draft_model_changes_no_answer(model: freehold.Model, folder: Path) -> None:
    expected = model.generate("hello", max_tokens=60, temperature=0, ignore_eos=True)
    with freehold.load(folder, draft_model=folder, dtype="q8") as drafted, freehold.load(folder, dtype="q8") as alone:
        texts = [one.generate("hello", max_tokens=60, temperature=0, ignore_eos=True) for one in (drafted, alone)]
        assert drafted.draft is not None
        assert drafted.draft is not drafted.network
    assert texts[0] == texts[1]
    with freehold.load(str(folder), draft_model=str(folder)) as drafted:
        assert drafted.generate("hello", max_tokens=60, temperature=0, ignore_eos=True) == expected


def test_a_draft_model_of_another_vocabulary_is_refused_before_weights_are_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_tiny_model(tmp_path / "other")
    tokenizer = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(tokenizer.replace("<user>", "<human>"))
    monkeypatch.setattr("freehold.opening.load_network", None)
    with pytest.raises(InvalidRequest, match="other, with 261 tokens, cannot draft for tiny, with 261: 1 of the ids"):
        freehold.load(folder, draft_model=other)


def test_a_draft_model_without_a_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    mute = write_tiny_model(tmp_path / "mute", tokenizer=False)
    with pytest.raises(TokenizerError, match="'mute' came without tokenizer files"):
        freehold.load(folder, draft_model=mute)


def test_a_draft_model_is_no_use_with_speculation_off(folder: Path) -> None:
    with (
        freehold.load(folder, draft_model=folder, speculation="off") as model,
        pytest.raises(InvalidRequest, match="there is a draft model, and speculation is 'off'"),
    ):
        model.generate("a")
