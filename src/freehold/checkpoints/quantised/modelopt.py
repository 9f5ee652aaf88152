"""FP8 as NVIDIA's ModelOpt writes it: E4M3 with one scale for each tensor, `x.weight_scale`, as `fp8.py` reads it."""

from __future__ import annotations

from freehold.checkpoints.huggingface import HuggingFaceCheckpoint
from freehold.checkpoints.quantised.assembly import Found
from freehold.checkpoints.quantised.fp8 import find_float8
from freehold.checkpoints.quantised.settings import Settings

HONOURED = ("quant_method", "quant_algo")
# The groups repeat for each kind of tensor what the algorithm's name says; the cache's scheme is for the cache.
WITHOUT_MEANING = ("config_groups", "exclude_modules", "ignore", "kv_cache_quant_algo", "kv_cache_scheme", "producer")


def find(stored: HuggingFaceCheckpoint, settings: Settings) -> Found:
    """The E4M3 tensors of a checkpoint with the scales beside them.

    Raises:
        ConfigError: the weights are not plain FP8.
        CheckpointError: weights and scales do not fit.
    """
    settings.check_keys(HONOURED, WITHOUT_MEANING)
    settings.choice("quant_algo", ("FP8",))
    return find_float8(stored, block_rows=None)
