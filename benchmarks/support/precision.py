"""How far a quantised model is from the float32 one, on both sides, for the same file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import freehold
from benchmarks.support.files import FileType
from benchmarks.support.sides import Side, llama_side
from benchmarks.support.trained import QUANTISER, quantised, sampled_texts, trained_folders, written


@dataclass(frozen=True, slots=True)
class Distance:
    """From float32, over all positions.

    Attributes:
        divergence: mean Kullback-Leibler divergence of the next token's distribution, in nats.
        agreement: share of positions at which the most likely token is the same.
    """

    divergence: float
    agreement: float


@dataclass(frozen=True, slots=True)
class Precision:
    """One trained model in one type.

    Attributes:
        error, agreement_error: standard errors of the differences between both sides' divergences, and between their
            agreements: a difference that is not a few times as large means nothing.
    """

    model: str
    kind: FileType
    ours: Distance
    theirs: Distance
    error: float
    agreement_error: float


def distance(exact: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> Distance:
    """Between logits, [positions, vocabulary] each."""
    agreement = (exact.argmax(axis=1) == found.argmax(axis=1)).mean()
    return Distance(float(divergences(exact, found).mean()), float(agreement))


def divergences(exact: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Kullback-Leibler divergence at every position, from logits [positions, vocabulary] each."""
    p, q = _log_softmax(exact), _log_softmax(found)
    result: npt.NDArray[np.float64] = (np.exp(p) * (p - q)).sum(axis=1)
    return result


def _log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def measure_precision(python: Path, threads: int, kinds: Sequence[FileType], texts: int) -> Iterator[Precision]:
    """All trained models that are there, in all types, on so many texts."""
    with Side("llama.cpp", [str(python), str(QUANTISER)]) as quantiser:
        for name, source in trained_folders().items():
            with written(source) as (scratch, exact):
                sequences = sampled_texts(exact, texts)
                reference = _our_logits(exact, sequences)
                for kind in kinds:
                    path = quantised(exact, kind, quantiser)
                    ours = _our_logits(path, sequences)
                    with llama_side(python, threads) as side:
                        theirs = _their_logits(side, path, sequences, scratch / "logits.npy")
                    chosen = counted(sequences)
                    yield compared(name, kind, reference[chosen], ours[chosen], theirs[chosen])


def counted(texts: Sequence[Sequence[int]]) -> npt.NDArray[np.bool_]:
    """Which of all positions count: those of each text's second half.

    Texts of one model mostly begin in the same few ways. Counted, they would be the same positions again and again, of
    which an error of the mean that takes all for independent says far too little.
    """
    return np.concatenate([np.arange(len(text)) >= len(text) // 2 for text in texts])


def compared(
    name: str,
    kind: FileType,
    reference: npt.NDArray[np.float32],
    ours: npt.NDArray[np.float32],
    theirs: npt.NDArray[np.float32],
) -> Precision:
    """Both sides' distances, from the logits [positions, vocabulary] of all three."""
    divergence = divergences(reference, ours) - divergences(reference, theirs)
    best = reference.argmax(axis=1)
    agreement = (ours.argmax(axis=1) == best).astype(np.float64) - (theirs.argmax(axis=1) == best)
    errors = (float(difference.std() / len(difference) ** 0.5) for difference in (divergence, agreement))
    return Precision(name, kind, distance(reference, ours), distance(reference, theirs), *errors)


def _our_logits(path: Path, texts: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
    with freehold.load(path) as model:
        return np.concatenate(model.logits(texts))


def _their_logits(side: Side, path: Path, texts: Sequence[Sequence[int]], exchange: Path) -> npt.NDArray[np.float32]:
    side.ask(do="load", path=str(path))
    side.ask(do="logits", sequences=texts, to=str(exchange))
    found: npt.NDArray[np.float32] = np.load(exchange, allow_pickle=False)
    return found
