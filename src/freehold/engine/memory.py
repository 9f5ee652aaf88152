"""How much room the cache gets when nobody says."""

from __future__ import annotations

SHARE_OF_MEMORY = 0.25
LARGEST_SHARE_OF_MEMORY = 0.5


def choose_cache_tokens(
    *, context_length: int, max_sequences: int, block_size: int, bytes_per_token: int, available_bytes: int
) -> int:
    """Positions that the cache has room for, a multiple of block_size and at least one block.

    Enough for `max_sequences` full contexts, but at most a quarter of the memory that is available; more than that, up
    to half of it, only as far as one full context needs it.
    """
    wanted = context_length * max_sequences
    comfortable = int(available_bytes * SHARE_OF_MEMORY) // bytes_per_token
    possible = int(available_bytes * LARGEST_SHARE_OF_MEMORY) // bytes_per_token
    tokens = min(wanted, max(comfortable, min(context_length, possible)))
    return max(1, -(-tokens // block_size)) * block_size
