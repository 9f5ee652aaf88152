"""Families that coincide with Llama give what Llama gives with the same weights under Llama's names."""

from __future__ import annotations

import numpy as np
import pytest

from freehold.checkpoints.base import MemoryCheckpoint
from freehold.models import load_model
from freehold.ops import create_ops
from freehold.ops.batch import Batch
from freehold.tensors import Tensor
from tests.support.tiny import CONFIGURATIONS, checkpoint_of, reference, relative_error

BATCH = Batch.whole([[5, 3, 90, 17, 17, 2, 60]])


def logits(checkpoint: MemoryCheckpoint) -> np.ndarray:
    model = load_model(checkpoint, create_ops("native", exact=True))
    return model.ops.to_numpy(model.forward(BATCH, None))


def as_llama(checkpoint: MemoryCheckpoint) -> MemoryCheckpoint:
    """The same weights as a LlamaForCausalLM."""
    contents: dict[str, Tensor] = {}
    for name, tensor in checkpoint.contents.items():
        if "W_pack" not in name:
            contents[name] = tensor
            continue
        rows = tensor.info.shape[0] // 3
        for index, part in enumerate(("q_proj", "k_proj", "v_proj")):
            renamed = name.replace("W_pack", part)
            contents[renamed] = tensor.slice_rows(index * rows, (index + 1) * rows).renamed(renamed)
    return MemoryCheckpoint({**checkpoint.config, "architectures": ["LlamaForCausalLM"]}, contents)


@pytest.mark.parametrize("name", ["xverse", "baichuan-7b"])
def test_the_same_weights_as_a_llama_give_the_same(name: str) -> None:
    checkpoint = checkpoint_of(reference(CONFIGURATIONS[name]))
    assert np.array_equal(logits(checkpoint), logits(as_llama(checkpoint)))


def test_what_is_not_llama_in_baichuan_shows() -> None:
    packed = checkpoint_of(reference(CONFIGURATIONS["baichuan-13b"]))
    llama = as_llama(packed)
    rotated = MemoryCheckpoint({**llama.config, "max_position_embeddings": 256}, llama.contents)
    assert relative_error(logits(packed), logits(rotated)) > 0.01
