"""Encoders against transformers, on tiny random models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import PreTrainedModel

from freehold.checkpoints import write_gguf
from freehold.checkpoints.base import MemoryCheckpoint, Naming
from freehold.models import load_model
from freehold.models.encoder import Encoder
from freehold.models.export import export
from freehold.models.loading import load_network
from freehold.ops import create_ops
from freehold.ops.batch import Batch
from freehold.tensors import Tensor, WeightType
from tests.parity.peer import Peer
from tests.support.configurations.bert import ENCODERS
from tests.support.tiny import checkpoint_of, relative_error, with_wide_weights

SEQUENCES = [list(range(6, 80)), [7, 13, 9, 41, 96], [42]]


def reference(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    configuration = ENCODERS[name]
    build: Any = getattr(transformers, (configuration.architectures or [""])[0])
    return with_wide_weights(build(configuration).eval())


def expected_rows(model: PreTrainedModel) -> np.ndarray:
    encoder: Any = model.base_model
    with torch.no_grad():
        rows = [encoder(torch.tensor([sequence])).last_hidden_state[0].numpy() for sequence in SEQUENCES]
    return np.concatenate(rows)


def load(checkpoint: MemoryCheckpoint, backend: str, dtype: WeightType | None = None) -> Encoder:
    model = load_network(checkpoint, create_ops(backend, exact=True), dtype)
    assert isinstance(model, Encoder)
    return model


def rows_of(model: Encoder, sequences: list[list[int]] = SEQUENCES) -> np.ndarray:
    return model.ops.to_numpy(model.forward(Batch.whole(sequences)))


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("name", ENCODERS)
def test_rows_equal_those_of_transformers(name: str, backend: str) -> None:
    model = reference(name)
    assert relative_error(rows_of(load(checkpoint_of(model), backend)), expected_rows(model)) < 1e-4


@pytest.mark.parametrize("dtype", [None, WeightType.Q8])
@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_a_text_by_itself_gives_the_same_bits(name: str, dtype: WeightType | None) -> None:
    model = load(checkpoint_of(reference(name)), "native", dtype)
    together = rows_of(model)
    alone = np.concatenate([rows_of(model, [sequence]) for sequence in SEQUENCES])
    assert np.array_equal(together, alone)


def test_every_row_sees_the_whole_text() -> None:
    model = load(checkpoint_of(reference("bert")), "native")
    changed = [*SEQUENCES[1][:-1], 50]
    assert not np.array_equal(rows_of(model, [SEQUENCES[1]])[0], rows_of(model, [changed])[0])


def test_norms_of_the_first_releases_are_called_gamma_and_beta() -> None:
    checkpoint = checkpoint_of(reference("bert"))

    def older(name: str) -> str:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    contents = {older(name): tensor.renamed(older(name)) for name, tensor in checkpoint.contents.items()}
    assert set(contents) != set(checkpoint.contents)
    renamed = MemoryCheckpoint(checkpoint.config, contents)
    assert np.array_equal(rows_of(load(renamed, "native")), rows_of(load(checkpoint, "native")))


def test_gguf_gives_the_same_rows() -> None:
    checkpoint = checkpoint_of(reference("bert"))
    exported = export(checkpoint, Naming.GGUF, None, "bert")
    contents = {one.info.name: Tensor(one.info, one.data()) for one in exported.tensors}
    back = MemoryCheckpoint(exported.config, contents, naming=Naming.GGUF)
    assert np.array_equal(rows_of(load(back, "native")), rows_of(load(checkpoint, "native")))


@pytest.mark.parametrize("name", ["bert", "bert-masked"])
def test_llama_cpp_computes_what_we_write_as_we_do(peer: Peer, name: str, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(reference(name))
    exported = export(checkpoint, Naming.GGUF, None, name)
    write_gguf(tmp_path / "bert.gguf", {**exported.config, "tokenizer.ggml.model": "no_vocab"}, exported.tensors)
    answer = peer.ask(embed=str(tmp_path / "bert.gguf"), sequences=SEQUENCES)
    theirs = np.concatenate([np.array(rows, np.float32) for rows in answer["rows"]])
    # llama.cpp takes GELU from a table of float16.
    assert relative_error(rows_of(load(checkpoint, "native")), theirs) < 2e-3


def test_an_encoder_is_no_language_model() -> None:
    with pytest.raises(Exception, match="BertModel does not write text"):
        load_model(checkpoint_of(reference("bert")), create_ops("native", exact=True))
