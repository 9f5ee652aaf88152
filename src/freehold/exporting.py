"""Writing a model for other programs: llama.cpp reads the GGUF, transformers the folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from freehold.checkpoints import atomic_folder, open_checkpoint, save_folder, write_gguf
from freehold.checkpoints.base import Checkpoint, LazyTensor, Naming
from freehold.errors import CheckpointError
from freehold.models.export import export
from freehold.models.loading import Progress
from freehold.recommended import recommended_sampling, sampling_words
from freehold.tensors import WeightType
from freehold.text import Text, load_text, text_from_gguf
from freehold.text.writing import gguf_vocabulary, write_text_files

# What a folder holds for the text side; copied as they are from folder to folder.
TEXT_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tekken.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)


def export_model(
    source: Path, output: Path, naming: Naming, dtype: WeightType | None, progress: Progress | None = None
) -> list[str]:
    """Write the model at `source` as GGUF or as a Hugging Face folder. Appears under its name when it is complete.

    Args:
        source: a Hugging Face folder or a .gguf file.
        output: the .gguf file to write, or the folder to make.
        dtype: type of the matrices; None keeps what is stored, but that a folder holds quantised ones as float32.
        progress: called after each tensor with how many are written, and of how many.

    Returns:
        names of tensors that are held in 16 bits where fewer were asked for, since their rows do not fill blocks.

    Raises:
        CheckpointError, ConfigError, WeightMapError, TokenizerError: the model is not whole, or the format has no
            words for a part of it.
    """
    if output.exists():
        raise CheckpointError(f"{output} exists already", hint="choose another --output, or delete it first")
    checkpoint = open_checkpoint(source)
    exported = export(checkpoint, naming, dtype, source.stem if source.is_file() else source.name)
    tensors = exported.tensors if progress is None else _counted(exported.tensors, progress)
    if naming is Naming.GGUF:
        write_gguf(output, dict(exported.config) | _text_metadata(checkpoint, source), tensors)
    else:
        with atomic_folder(output) as folder:
            marks = _write_text(checkpoint, source, folder)
            save_folder(folder, dict(exported.config) | marks, tensors)
    return exported.widened


def _counted(tensors: list[LazyTensor], progress: Progress) -> list[LazyTensor]:
    """The same tensors, reporting each that is made."""

    def loader(index: int, load: Callable[[], npt.NDArray[np.uint8]]) -> Callable[[], npt.NDArray[np.uint8]]:
        def reported() -> npt.NDArray[np.uint8]:
            data = load()
            progress(index, len(tensors))
            return data

        return reported

    return [replace(tensor, load=loader(index, tensor.load)) for index, tensor in enumerate(tensors, start=1)]


def _text_metadata(checkpoint: Checkpoint, source: Path) -> dict[str, Any]:
    """The vocabulary, the chat template and how to sample as GGUF metadata, as far as the model has them."""
    if checkpoint.naming is Naming.GGUF:
        kept = ("tokenizer.", "general.sampling.")
        return {key: checkpoint.config[key] for key in checkpoint.config if key.startswith(kept)}
    sampling = sampling_words(recommended_sampling(checkpoint), Naming.GGUF)
    text = load_text(source)
    if text is None:
        return sampling
    return sampling | gguf_vocabulary(text.tokenizer, text.template, _vocabulary_rows(checkpoint))


def _vocabulary_rows(checkpoint: Checkpoint) -> int:
    rows: int = checkpoint.config["vocab_size"]
    return rows


def _write_text(checkpoint: Checkpoint, source: Path, folder: Path) -> dict[str, Any]:
    """Write the text side's files; returns what config.json says of it."""
    if checkpoint.naming is Naming.GGUF:
        text = text_from_gguf(checkpoint.config)
        if text is None:
            return {}
        sampling = sampling_words(recommended_sampling(checkpoint), Naming.HUGGING_FACE)
        write_text_files(text.tokenizer, text.template, sampling, folder)
        return _marks(text)
    for name in TEXT_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    return {key: checkpoint.config[key] for key in ("bos_token_id", "eos_token_id") if key in checkpoint.config}


def _marks(text: Text) -> dict[str, Any]:
    ends = list(text.tokenizer.eos_ids)
    marks = {"bos_token_id": text.tokenizer.bos_id, "eos_token_id": ends[0] if len(ends) == 1 else ends}
    return {key: value for key, value in marks.items() if value not in (None, [])}
