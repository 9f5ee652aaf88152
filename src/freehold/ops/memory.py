"""Memory of this machine."""

from __future__ import annotations

import os
from pathlib import Path


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
