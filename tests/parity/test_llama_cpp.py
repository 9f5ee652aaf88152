"""What we write as GGUF llama.cpp computes alike, and what it writes we read.

Needs a Python that has llama-cpp-python, named by FREEHOLD_LLAMA_PYTHON; `make parity-llamacpp` builds one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from freehold.checkpoints import open_checkpoint, write_gguf
from freehold.checkpoints.base import Checkpoint, Naming
from freehold.models import load_model
from freehold.models.export import export
from freehold.ops import create_ops
from freehold.ops.batch import Batch
from tests.parity.peer import Peer
from tests.support.described import gguf_can_say
from tests.support.tiny import CONFIGURATIONS, checkpoint_of, reference

SEQUENCES = [list(range(1, 60)), [3, 1, 4, 1, 5, 9, 2, 6], [42]]
# llama.cpp's numbers for what it writes.
TYPES = {"Q8_0": 7, "Q4_0": 2}

# Why a configuration cannot be compared: llama.cpp has no words for it, or computes something else.
LEFT_OUT = {
    "mistral-window": "for `llama` files, which Mistral's are, llama.cpp does not look at attention.sliding_window",
    "mixtral-window": "as for Mistral",
    "gpt-oss-released-rope": "llama.cpp lets YaRN's ramp begin and end at whole dimensions, unlike the released models",
}


KNOWN = [name for name in CONFIGURATIONS if name not in LEFT_OUT and gguf_can_say(name)]


def log_probabilities(peer: Peer, path: Path) -> np.ndarray:
    return np.array(peer.ask(path=str(path), sequences=SEQUENCES)["log_probabilities"])


def our_log_probabilities(checkpoint: Checkpoint) -> np.ndarray:
    model = load_model(checkpoint, create_ops("native", exact=True))
    rows = []
    for sequence in SEQUENCES:
        batch = Batch.whole([sequence])
        logits = model.ops.to_numpy(model.forward(batch, None))[-1].astype(np.float64)
        rows.append(logits - logits.max() - np.log(np.exp(logits - logits.max()).sum()))
    return np.array(rows)


def written(name: str, folder: Path) -> Path:
    """A GGUF file of ours, without a vocabulary."""
    exported = export(checkpoint_of(reference(CONFIGURATIONS[name])), Naming.GGUF, None, name)
    path = folder / f"{name}.gguf"
    write_gguf(path, {**exported.config, "tokenizer.ggml.model": "no_vocab"}, exported.tensors)
    return path


@pytest.mark.parametrize("name", KNOWN)
def test_llama_cpp_computes_what_we_write_as_we_do(peer: Peer, name: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    ours, theirs = our_log_probabilities(open_checkpoint(path)), log_probabilities(peer, path)
    assert np.abs(ours - theirs).max() < 1e-3 * np.abs(ours).max()


@pytest.mark.parametrize("name", KNOWN)
def test_our_gguf_computes_what_the_folder_does(name: str, tmp_path: Path) -> None:
    folder = our_log_probabilities(checkpoint_of(reference(CONFIGURATIONS[name])))
    assert np.abs(our_log_probabilities(open_checkpoint(written(name, tmp_path))) - folder).max() < 1e-4


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", [name for name in KNOWN if name.endswith("-wide")])
def test_what_llama_cpp_quantises_we_read(peer: Peer, name: str, kind: str, tmp_path: Path) -> None:
    path, quantised = written(name, tmp_path), tmp_path / "quantised.gguf"
    assert peer.ask(quantise=str(path), to=str(quantised), type=TYPES[kind])["done"]
    checkpoint = open_checkpoint(quantised)
    assert kind in {info.type for info in checkpoint.tensors.values()}
    ours, theirs = our_log_probabilities(checkpoint), log_probabilities(peer, quantised)
    # Both round activations to 8 bits, each in its own blocks.
    assert np.abs(ours - theirs).max() < 0.1 * np.abs(ours).max()
