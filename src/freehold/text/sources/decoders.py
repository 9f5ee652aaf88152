"""The decoder of a `tokenizer.json`, read as a spelling: what each piece contributes, whatever its neighbours are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from freehold.errors import TokenizerError
from freehold.text import spelling
from freehold.text.spelling import Spelling, Step

_KNOWN = "ByteLevel, ByteFallback, Fuse, Metaspace, Replace (of a string), Sequence, Strip (left) and WordPiece"


def spelling_of_decoder(state: bytes | None) -> Spelling:
    """The spelling of a decoder.

    Args:
        state: the decoder's JSON, or None for a tokenizer without one (its pieces are joined by spaces).

    Raises:
        TokenizerError: a decoder that is not understood piece by piece.
    """
    if state is None:
        return spelling.SPACE_JOINED
    reading = _Reading()
    reading.add(json.loads(state))
    return Spelling(
        tuple(reading.steps), trim=reading.trim, trim_limit=reading.trim_limit, raw_added=reading.byte_level
    )


@dataclass
class _Reading:
    """What has been understood of a decoder so far."""

    steps: list[Step] = field(default_factory=list)
    trim: bytes = b""
    trim_limit: int = 0
    fused: bool = False
    byte_level: bool = False

    def add(self, decoder: Mapping[str, object]) -> None:
        match decoder:
            case {"type": "Sequence", "decoders": list(decoders)}:
                for part in decoders:
                    self.add(part)
            case {"type": "ByteLevel"}:
                self.steps.append(spelling.byte_level)
                self.byte_level = True
            case {"type": "ByteFallback"}:
                self.steps.append(spelling.byte_fallback)
            case {"type": "Fuse"}:
                self.fused = True
            case {"type": "Replace", "pattern": {"String": str(old)}, "content": str(new)} if len(old) == 1:
                self.steps.append(spelling.replace(old, new))
            case {"type": "Metaspace", "replacement": str(mark), "prepend_scheme": str(scheme)}:
                self.steps.append(spelling.metaspace(mark, drop_first=scheme != "never"))
            case {"type": "WordPiece", "prefix": str(prefix), "cleanup": bool(tidy)}:
                self.steps.append(spelling.wordpiece(prefix, tidy=tidy))
            case {"type": "Strip", "content": str(content), "start": int(start), "stop": 0} if content:
                self._strip(content, min(start, 1 << 16))
            case _:
                raise TokenizerError(
                    f"the tokenizer's decoder has the part {json.dumps(decoder)[:120]}, which is not supported",
                    hint=f"known are {_KNOWN}",
                )

    def _strip(self, content: str, limit: int) -> None:
        """Left-strips each piece, or, after the pieces are fused, the start of the text."""
        if not self.fused:
            self.steps.append(spelling.strip_left(content, limit))
        elif self.trim_limit:
            raise TokenizerError("the tokenizer's decoder strips the start of the text twice, which is not supported")
        else:
            self.trim, self.trim_limit = content.encode(), limit
