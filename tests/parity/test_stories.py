"""A really trained model: stories260K writes the text that its maker published, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import freehold
from freehold.checkpoints.base import Naming
from freehold.exporting import export_model
from freehold.tensors import WeightType
from tests.support.assets import asset
from tests.support.llama2c import write_folder

TOKENS = 200


@pytest.fixture(scope="module")
def published() -> str:
    """The text under the command with `-t 0.0` in the model's page."""
    page = asset("weights/stories260K/stories260K.md").read_text()
    text = page.split("tok512.bin -t 0.0\n", 1)[1].split("\n```", 1)[0]
    assert text.startswith("Once upon a time")
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stories = asset("weights/stories260K")
    return write_folder(stories / "stories260K.bin", stories / "tok512.bin", tmp_path_factory.mktemp("stories") / "hf")


@pytest.fixture(scope="module")
def gguf(folder: Path) -> Path:
    output = folder.parent / "stories.gguf"
    assert export_model(folder, output, Naming.GGUF, None) == []
    return output


def write_story(path: Path, backend: str, dtype: str | None = None) -> str:
    with freehold.load(path, backend=backend, dtype=dtype) as model:
        return model.generate("", max_tokens=TOKENS, temperature=0)


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_the_published_story_from_the_folder(folder: Path, published: str, backend: str) -> None:
    story = write_story(folder, backend, "f32")
    assert len(story) > 2 * TOKENS  # a token of this vocabulary is more than two characters
    assert story.encode() == published.encode()[: len(story.encode())]


def test_the_published_story_from_our_gguf(gguf: Path, published: str) -> None:
    story = write_story(gguf, "native")
    assert len(story) > 2 * TOKENS
    assert story.encode() == published.encode()[: len(story.encode())]


def test_a_folder_made_from_the_gguf_tells_the_same_story(folder: Path, gguf: Path, published: str) -> None:
    back = folder.parent / "back"
    export_model(gguf, back, Naming.HUGGING_FACE, None)
    assert published.startswith(write_story(back, "native"))


def test_transformers_reads_the_folder_made_from_the_gguf(folder: Path, gguf: Path, published: str) -> None:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    back = folder.parent / "for-transformers"
    export_model(gguf, back, Naming.HUGGING_FACE, None)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(back)
    ids = tokenizer("Once upon a time, there", return_tensors="pt", return_token_type_ids=False)
    model: Any = LlamaForCausalLM.from_pretrained(back)  # its `generate` has a type that no model fits
    written = model.generate(**ids, max_new_tokens=60, do_sample=False)
    assert published.startswith(tokenizer.decode(written[0], skip_special_tokens=True))


def test_a_half_precision_export_starts_the_same_story(folder: Path, published: str) -> None:
    output = folder.parent / "stories-f16.gguf"
    export_model(folder, output, Naming.GGUF, WeightType.F16)
    assert output.stat().st_size < 0.7 * (folder / "model.safetensors").stat().st_size
    assert published.startswith(write_story(output, "native")[:200])
