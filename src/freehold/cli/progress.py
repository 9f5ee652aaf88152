"""Progress bars on standard error, for what takes long enough to make a person wonder."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PATIENCE = 0.5


@contextmanager
def progress_bar(*, unit_bytes: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Gives a function to report (stage, done, total) to. The bar appears once the work has taken half a second.

    Args:
        unit_bytes: whether the numbers are bytes, to be shown with sizes and a speed.
    """
    bar = _Bar(unit_bytes) if sys.stderr.isatty() else None
    try:
        yield _ignore if bar is None else bar.report
    finally:
        if bar is not None:
            bar.stop()


class _Bar:
    def __init__(self, unit_bytes: bool) -> None:
        self._unit_bytes = unit_bytes
        self._started = time.monotonic()
        self._progress: object = None
        self._stop: Callable[[], None] = lambda: None
        self._update: Callable[[str, int, int], None] = _ignore

    def report(self, stage: str, done: int, total: int) -> None:
        if self._update is _ignore and time.monotonic() - self._started > _PATIENCE:
            self._start()
        self._update(stage, done, total)

    def stop(self) -> None:
        self._stop()

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as SpeedColumn

        label, bar, left = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
        console = Console(stderr=True)
        if self._unit_bytes:
            progress = Progress(label, bar, DownloadColumn(), SpeedColumn(), left, console=console)
        else:
            progress = Progress(label, bar, left, console=console, transient=True)
        progress.start()
        tasks: dict[str, TaskID] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done, total=total)

        self._update, self._stop = update, progress.stop


def _ignore(stage: str, done: int, total: int) -> None:
    """Nobody is looking."""
