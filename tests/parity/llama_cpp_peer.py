"""Run by the Python that has `llama-cpp-python`: computes log-probabilities, and rewrites files in quantised types.

Reads one JSON object per line: {"path", "sequences"}, {"embed", "sequences"} or {"quantise", "to", "type"};
answers each with one line.
"""

import ctypes
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import llama_cpp  # type: ignore[import-not-found]

CONTEXT = 512


def with_model(path: str, sequences: list[list[int]], compute: Callable[[Any, list[int]], list[Any]]) -> list[Any]:
    """What is computed of each sequence with the model."""
    options = llama_cpp.llama_model_default_params()
    options.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(path.encode(), options)
    if not model:
        raise ValueError("llama.cpp does not load the file")
    try:
        return [compute(model, sequence) for sequence in sequences]
    finally:
        llama_cpp.llama_model_free(model)


def rows(model: Any, tokens: list[int]) -> list[list[float]]:
    """What an encoder makes of each token."""
    options = llama_cpp.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = CONTEXT
    options.embeddings = True
    options.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_NONE
    context = llama_cpp.llama_init_from_model(model, options)
    if not context:
        raise ValueError("llama.cpp makes no context")
    try:
        ids = (llama_cpp.llama_token * len(tokens))(*tokens)
        if llama_cpp.llama_encode(context, llama_cpp.llama_batch_get_one(ids, len(tokens))) != 0:
            raise ValueError("llama.cpp does not encode")
        width = llama_cpp.llama_model_n_embd(model)
        return [llama_cpp.llama_get_embeddings_ith(context, row)[:width] for row in range(len(tokens))]
    finally:
        llama_cpp.llama_free(context)


def log_probabilities(model: Any, tokens: list[int]) -> list[float]:
    """Of every token after the last one."""
    options = llama_cpp.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = CONTEXT
    options.n_threads = options.n_threads_batch = 2
    options.type_k = options.type_v = llama_cpp.GGML_TYPE_F32
    options.flash_attn_type = 0
    context = llama_cpp.llama_init_from_model(model, options)
    if not context:
        raise ValueError("llama.cpp makes no context")
    try:
        ids = (llama_cpp.llama_token * len(tokens))(*tokens)
        if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(ids, len(tokens))) != 0:
            raise ValueError("llama.cpp does not decode")
        count = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        logits = llama_cpp.llama_get_logits_ith(context, -1)[:count]
    finally:
        llama_cpp.llama_free(context)
    largest = max(logits)
    total = largest + math.log(sum(math.exp(value - largest) for value in logits))
    return [value - total for value in logits]


def quantise(source: str, to: str, kind: int) -> bool:
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = kind
    options.nthread = 1
    return bool(llama_cpp.llama_model_quantize(source.encode(), to.encode(), ctypes.byref(options)) == 0)


def main() -> None:
    llama_cpp.llama_backend_init()
    for line in sys.stdin:
        wanted = json.loads(line)
        answer: dict[str, Any]
        try:
            if "quantise" in wanted:
                answer = {"done": quantise(wanted["quantise"], wanted["to"], wanted["type"])}
            elif "embed" in wanted:
                answer = {"rows": with_model(wanted["embed"], wanted["sequences"], rows)}
            else:
                path = wanted["path"]
                answer = {"log_probabilities": with_model(path, wanted["sequences"], log_probabilities)}
        except ValueError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
