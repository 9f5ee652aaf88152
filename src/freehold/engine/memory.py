"""How much room the cache gets when nobody says."""

from __future__ import annotations

from freehold.errors import InvalidRequest

SHARE_OF_MEMORY = 0.25
LARGEST_SHARE_OF_MEMORY = 0.5
SHARE_FOR_STATES = 0.125
LARGEST_SHARE_FOR_STATES = 0.25
# A sequence that runs holds the state that it goes on from and the one that it is about to have.
SLOTS_PER_SEQUENCE = 2
SNAPSHOTS_PER_SEQUENCE = 4


def choose_state_slots(*, max_sequences: int, bytes_per_state: int, available_bytes: int) -> int:
    """Slots for the states of a model that keeps something per sequence; 0 for other models.

    Enough for `max_sequences` with some snapshots for each, but at most an eighth of the memory that is available; more
    than that, up to a quarter of it, only as far as `max_sequences` need it without snapshots.

    Raises:
        InvalidRequest: not even a single sequence fits.
    """
    if not bytes_per_state:
        return 0
    needed = SLOTS_PER_SEQUENCE * max_sequences
    comfortable = int(available_bytes * SHARE_FOR_STATES) // bytes_per_state
    possible = int(available_bytes * LARGEST_SHARE_FOR_STATES) // bytes_per_state
    slots = min(needed + SNAPSHOTS_PER_SEQUENCE * max_sequences, max(comfortable, min(needed, possible)))
    if slots < SLOTS_PER_SEQUENCE:
        raise InvalidRequest(
            f"one sequence needs {SLOTS_PER_SEQUENCE * bytes_per_state} bytes for its state; of the {available_bytes} "
            f"bytes of free memory, {int(available_bytes * LARGEST_SHARE_FOR_STATES)} may be used for that",
            hint="end other programs, or load the model with fewer bits per weight",
        )
    return slots


def choose_cache_tokens(
    *, context_length: int, max_sequences: int, block_size: int, bytes_per_token: int, available_bytes: int
) -> int:
    """Positions that the cache has room for, a multiple of block_size and at least one block.

    Enough for `max_sequences` full contexts, but at most a quarter of the memory that is available; more than that, up
    to half of it, only as far as one full context needs it.
    """
    wanted = context_length * max_sequences
    size = max(1, bytes_per_token)  # a model may keep nothing per position
    comfortable = int(available_bytes * SHARE_OF_MEMORY) // size
    possible = int(available_bytes * LARGEST_SHARE_OF_MEMORY) // size
    tokens = min(wanted, max(comfortable, min(context_length, possible)))
    return max(1, -(-tokens // block_size)) * block_size
