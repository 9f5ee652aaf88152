"""How much room the cache gets when nobody says."""

from __future__ import annotations

import os
from pathlib import Path

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


def available_bytes() -> int:
    """Memory that this process may still take: the machine's, or less where its control group has a limit."""
    machine = _meminfo("MemAvailable")
    if machine is None:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    group = _control_group()
    return machine if group is None else min(machine, group)


def _meminfo(name: str) -> int | None:
    path = Path("/proc/meminfo")
    if not path.exists():
        return None
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return None


def _control_group() -> int | None:
    """What is left of the limit of a version 2 control group; None without a limit.

    Pages of mapped files count as free: the kernel drops them when the room is needed.
    """
    limit, statistics = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.stat")
    if not limit.exists() or not statistics.exists():
        return None
    text = limit.read_text().strip()
    if text == "max":
        return None
    counts = dict(line.split() for line in statistics.read_text().splitlines())
    return max(0, int(text) - int(counts["anon"]))
