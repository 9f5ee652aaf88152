"""Run as a process by the Python that has `llama-cpp-python`: the same as `our_side`, on llama.cpp.

Everything but the number of threads is at its default: micro-batches of 512, 16-bit cache, flash attention where
llama.cpp chooses it, weights repacked. Logits are computed for the last token of a prompt, and for every token of a
decoding step.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp  # type: ignore[import-not-found]
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository, for this runs as a script

from benchmarks.support.answering import answer, memory, timed, token_ids


class LlamaSide:
    """One model, and a context for some sequences."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.context: Any = None
        self.batch: Any = None

    def load(self, path: str, context: int | None = None) -> dict[str, float]:
        """Load a model file; `context` opens a sequence of so many positions right away."""
        started = time.perf_counter()
        options = llama_cpp.llama_model_default_params()
        options.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), options)
        if not self.model:
            raise ValueError(f"llama.cpp does not load {path}")
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        if context is not None:
            self.open(1, context)
        return {"seconds": time.perf_counter() - started}

    def open(self, sequences: int, positions: int, outputs: int = 1) -> None:
        """Make room for sequences of so many positions; what was open before is gone."""
        if self.context:
            llama_cpp.llama_batch_free(self.batch)
            llama_cpp.llama_free(self.context)
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = sequences * (-(-positions // 256) * 256)
        options.n_seq_max = sequences
        options.n_threads = options.n_threads_batch = self.threads
        if outputs > 1:
            options.n_outputs_max_per_seq = outputs
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        if not self.context:
            raise ValueError("llama.cpp makes no context")
        self.largest = options.n_batch
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.batch = llama_cpp.llama_batch_init(max(self.largest, sequences), 0, 1)
        self.sequences, self.filled = sequences, 0

    def prefill(self, tokens: int) -> dict[str, float]:
        """One sequence from its beginning, with the logits of its last token."""
        ids = token_ids(tokens, self.vocabulary)
        llama_cpp.llama_memory_clear(self.memory, False)
        return timed(lambda: self._prefill(ids))

    def _prefill(self, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), self.largest):
            chunk = ids[start : start + self.largest]
            is_last = start + len(chunk) == len(ids)
            rows = [(token, start + i, 0, is_last and i == len(chunk) - 1) for i, token in enumerate(chunk)]
            self._decode(rows)

    def fill(self, tokens: int) -> None:
        """Let every sequence hold the same tokens, each in memory of its own."""
        self.prefill(tokens)
        for sequence in range(1, self.sequences):
            llama_cpp.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)
        self.filled = tokens

    def decode(self, steps: int) -> dict[str, float]:
        """Steps that give every sequence one more token; afterwards the sequences are as they were."""
        ids = token_ids(steps * self.sequences, self.vocabulary)

        def work() -> None:
            for step in range(steps):
                tokens = ids[step * self.sequences :][: self.sequences]
                self._decode([(token, self.filled + step, row, True) for row, token in enumerate(tokens)])

        result = timed(work)
        for sequence in range(self.sequences):
            llama_cpp.llama_memory_seq_rm(self.memory, sequence, self.filled, -1)
        return result

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        """One batch of (token, position, sequence, whether its logits are wanted)."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for index, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = sequence
            batch.logits[index] = wanted
        if llama_cpp.llama_decode(self.context, batch) != 0:
            raise ValueError("llama.cpp does not decode")
        if rows[-1][3]:
            llama_cpp.llama_get_logits_ith(self.context, -1)  # waits for them

    def generate(self, prompt: int, steps: int) -> dict[str, float]:
        """With llama.cpp's greedy sampler: seconds to the first token, and for the steps after it."""
        sampler = llama_cpp.llama_sampler_init_greedy()
        started = time.perf_counter()
        self.prefill(prompt)
        token = llama_cpp.llama_sampler_sample(sampler, self.context, -1)
        first = time.perf_counter()
        for step in range(steps):
            self._decode([(token, prompt + step, 0, True)])
            token = llama_cpp.llama_sampler_sample(sampler, self.context, -1)
        last = time.perf_counter()
        llama_cpp.llama_sampler_free(sampler)
        return {"first": first - started, "seconds": last - first}

    def logits(self, sequences: list[list[int]], to: str) -> None:
        """Logits of all positions of whole sequences, as one array in a file of NumPy."""
        longest = max(map(len, sequences))
        self.open(1, longest, outputs=longest)
        found = []
        for ids in sequences:
            llama_cpp.llama_memory_clear(self.memory, False)
            self._decode([(token, position, 0, True) for position, token in enumerate(ids)])
            rows = llama_cpp.llama_get_logits(self.context)
            found.append(np.ctypeslib.as_array(rows, (len(ids), self.vocabulary)).copy())
        np.save(to, np.concatenate(found))


def main() -> None:
    llama_cpp.llama_backend_init()
    side = LlamaSide(int(sys.argv[1]))
    methods = (side.load, side.open, side.prefill, side.fill, side.decode, side.generate, side.logits)
    answer({method.__name__: method for method in methods} | {"memory": memory})


if __name__ == "__main__":
    main()
