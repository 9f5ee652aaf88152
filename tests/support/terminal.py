"""A program on a terminal of its own, for tests of what it does when a person types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

PATIENCE = 60.0
CONTROL_C, CONTROL_D = "\x03", "\x04"
# Only on the controlling terminal of a session does Ctrl-C become a signal.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """What the program shows so far, and a keyboard."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self._process = process
        self._descriptor = descriptor
        self._seen = 0
        self.shown = ""

    def wait_for(self, text: str) -> None:
        """Wait until the text appears after what was waited for before."""
        while (place := self.shown.find(text, self._seen)) < 0:
            if not self.read():
                raise AssertionError(f"{text!r} did not appear in {self.shown[self._seen :]!r}")
        self._seen = place + len(text)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._descriptor, text.encode())

    def exit_code(self) -> int:
        """Wait for the program to end."""
        while self.read():
            pass
        return self._process.wait(PATIENCE)

    def read(self) -> bool:
        """Wait for the program to show something more; False when it has ended, or shows nothing for long."""
        ready, _, _ = select.select([self._descriptor], [], [], PATIENCE)
        if not ready:
            return False
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # Linux's way to say that the program has closed the terminal
            return False
        self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


@contextmanager
def on_terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a program with its input and output on a new terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKE_TERMINAL, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
