"""An encoder with its tokenizer and pooling."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freehold.embedding.pooling import Pooling
from freehold.errors import ContextExceeded
from freehold.models.encoder import Encoder
from freehold.ops.batch import Batch, in_groups
from freehold.text import Tokenizer

# Tokens that are computed together: enough to keep the kernels busy, few enough to bound the memory.
TOKENS_TOGETHER = 1024

Float32Array = npt.NDArray[np.float32]


class Embedder:
    """Turns texts into vectors. Safe to share between threads; they take turns.

    Attributes:
        encoder: the model.
        pooling: how its rows become one vector.
    """

    def __init__(self, encoder: Encoder, tokenizer: Tokenizer, pooling: Pooling) -> None:
        self.encoder = encoder
        self.pooling = pooling
        self._tokenizer = tokenizer
        self._lock = threading.Lock()

    @property
    def longest(self) -> int:
        """Most tokens of a text, the marks at its ends included."""
        own = self.encoder.config.context_length
        return own if self.pooling.longest is None else min(own, self.pooling.longest)

    def embed(self, texts: Sequence[str], *, truncate: bool = False, normalise: bool | None = None) -> Float32Array:
        """A vector for each text.

        Args:
            texts: the texts; each is computed by itself, so its vector does not depend on the others.
            truncate: cut texts that are longer than the model reads, instead of refusing them.
            normalise: whether vectors are brought to length 1; None for what the model's makers say.

        Returns:
            [texts, hidden] float32.

        Raises:
            ContextExceeded: a text is too long, with both numbers.
        """
        unit = self.pooling.normalise if normalise is None else normalise
        vectors = np.empty((len(texts), self.encoder.config.hidden), np.float32)
        ids = [self._encode(number, text, truncate) for number, text in enumerate(texts)]
        done = 0
        for group in in_groups(ids, TOKENS_TOGETHER):
            batch = Batch.whole(group)
            with self._lock:
                rows = self.encoder.ops.to_numpy(self.encoder.forward(batch))
            for part in np.split(rows, batch.offsets[1:-1]):
                vectors[done] = self.pooling(part, unit)
                done += 1
        return vectors

    def _encode(self, number: int, text: str, truncate: bool) -> list[int]:
        ids = self._tokenizer.encode(self.pooling.prompt + text, parse_special=False)
        if len(ids) <= self.longest:
            return ids
        if not truncate:
            raise ContextExceeded(
                f"text {number} has {len(ids)} tokens; the model reads {self.longest}",
                hint="split it, or ask for it to be cut with truncate",
            )
        closing = self._tokenizer.closing
        return [*ids[: self.longest - len(closing)], *closing]
