"""What both file formats demand of where tensors lie: in bounds, no overlaps, no holes, nothing left over.

Bytes that no tensor names could hide a second file or carry data out; the audited safetensors reader refuses them, and
so do we, in GGUF too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from freehold.errors import CheckpointError

DAMAGED = "the file is damaged or incomplete; download or convert it again"


@dataclass(frozen=True, slots=True)
class Span:
    """A tensor's place, in bytes from the start of the data section."""

    start: int
    stop: int
    name: str


def check_layout(spans: Iterable[Span], size: int, alignment: int, file: str) -> None:
    """Check that spans cover a data section, each starting at the next multiple of alignment after the one before.

    Args:
        spans: in any order; start <= stop.
        size: bytes in the file from the start of the data section; negative if the file ends before it.
        alignment: 1 where tensors must follow each other without padding.
        file: what to call the file in messages.

    Raises:
        CheckpointError: names the tensor at fault.
    """
    covered = 0
    for span in sorted(spans, key=lambda span: (span.start, span.stop)):
        expected = aligned(covered, alignment)
        if span.start != expected:
            kind = "overlaps the one before it" if span.start < covered else "does not follow the one before it"
            raise CheckpointError(
                f"{file}: tensor {span.name!r} {kind}: it starts at byte {span.start}, expected {expected}",
                hint=DAMAGED,
            )
        if span.stop > size:
            raise CheckpointError(
                f"{file}: tensor {span.name!r} extends to byte {span.stop} of a data section of {max(size, 0)} bytes",
                hint=DAMAGED,
            )
        covered = span.stop
    if size > aligned(covered, alignment):
        raise CheckpointError(f"{file}: {size - covered} bytes at the end belong to no tensor", hint=DAMAGED)


def aligned(position: int, alignment: int) -> int:
    """The next multiple of alignment."""
    return position + -position % alignment
