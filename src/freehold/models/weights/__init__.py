"""Weight maps: how a checkpoint's tensors hold our parameters. Total in both directions."""

from freehold.models.weights.map import LLAMA_SHAPED, ROTARY_TABLES, Names, WeightMap, with_names
from freehold.models.weights.matching import Location, match_tensors
from freehold.models.weights.orders import (
    Order,
    halves_from_pairs,
    heads_in_pairs,
    interleaved_parts,
    pairs_from_halves,
)
from freehold.models.weights.stored import LESS_ONE, Member, Stored, StoredTensor, Values

__all__ = [
    "LESS_ONE",
    "LLAMA_SHAPED",
    "ROTARY_TABLES",
    "Location",
    "Member",
    "Names",
    "Order",
    "Stored",
    "StoredTensor",
    "Values",
    "WeightMap",
    "halves_from_pairs",
    "heads_in_pairs",
    "interleaved_parts",
    "match_tensors",
    "pairs_from_halves",
    "with_names",
]
