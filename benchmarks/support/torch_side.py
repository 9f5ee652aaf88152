"""Run as a process: transformers in float32 on PyTorch, asked with the same words as `our_side`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, DynamicCache
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository, for this runs as a script

from benchmarks.support.answering import answer, memory, timed, token_ids
from benchmarks.support.shapes import SHAPES
from freehold.models.registry import family_named


class TorchSide:
    """One model with random weights, and a cache."""

    def load(self, shape: str) -> dict[str, float]:
        """Make a model of a shape."""
        started = time.perf_counter()
        fields = dict(SHAPES[shape])
        (architecture,) = fields.pop("architectures")
        configuration = AutoConfig.for_model(family_named(architecture).model_type, **fields)
        build: Any = AutoModelForCausalLM.from_config  # transformers leaves it without types
        self.model = build(configuration, dtype=torch.float32).eval()
        self.vocabulary = int(fields["vocab_size"])
        return {"seconds": time.perf_counter() - started}

    def open(self, sequences: int, positions: int) -> None:
        """Decode so many sequences from now on; their cache grows by itself."""
        self.sequences = sequences

    def prefill(self, tokens: int) -> dict[str, float]:
        """One sequence from its beginning, with the logits of its last token."""
        ids = torch.tensor([token_ids(tokens, self.vocabulary)])
        self.cache = DynamicCache()
        return timed(lambda: self._forward(ids))

    def fill(self, tokens: int) -> None:
        """Let every sequence hold the same tokens."""
        self.prefill(tokens)
        self.cache.batch_repeat_interleave(self.sequences)

    def decode(self, steps: int) -> dict[str, float]:
        """Steps that give every sequence one more token; afterwards the sequences are as they were."""
        ids = torch.tensor(token_ids(steps * self.sequences, self.vocabulary)).reshape(steps, self.sequences, 1)

        def work() -> None:
            for column in ids:
                self._forward(column)

        result = timed(work)
        self.cache.crop(-steps)
        return result

    def _forward(self, ids: torch.Tensor) -> None:
        with torch.inference_mode():
            self.model(ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1)


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]))
    side = TorchSide()
    methods = (side.load, side.open, side.prefill, side.fill, side.decode)
    answer({method.__name__: method for method in methods} | {"memory": memory})


if __name__ == "__main__":
    main()
