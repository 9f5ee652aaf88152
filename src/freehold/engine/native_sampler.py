"""The native sampler behind the engine's interface."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from freehold.engine.sampler import SamplingRow
from freehold.engine.types import SamplingOptions, TokenOutput
from freehold.errors import FreeholdError
from freehold.ops.sampling import RowStatus, SampleResult, SamplingArrays, sample

# Different steps whose arrays are kept.
KEPT = 8

_REASONS = {
    RowStatus.NOT_FINITE: "the model's logits are not finite numbers; its weights may be damaged",
    RowStatus.NOTHING_ALLOWED: "logit_bias leaves no token that could be drawn",
}


class NativeSampler:
    """Draws natively; see `freehold.ops.sampling` for the order of the steps.

    The sequences of two steps are mostly the same, with drafts or without, so the arrays of the options of the latest
    different steps are kept.
    """

    def __init__(self) -> None:
        # By the options' identities; the options are kept along so that an identity stays theirs.
        self._kept: OrderedDict[tuple[int, ...], tuple[list[SamplingOptions], SamplingArrays]] = OrderedDict()

    def __call__(self, logits: npt.NDArray[np.float32], rows: Sequence[SamplingRow]) -> list[TokenOutput]:
        """One token per row.

        Raises:
            FreeholdError: from some row nothing can be drawn.
        """
        result = sample(logits, self._with_histories(rows))
        worst = max(result.status.tolist(), default=RowStatus.OK)
        if worst != RowStatus.OK:
            raise FreeholdError(_REASONS[RowStatus(worst)])
        token_ids = result.token_ids.tolist()
        return [_output(result, index, token_ids[index], row.options.logprobs) for index, row in enumerate(rows)]

    def _with_histories(self, rows: Sequence[SamplingRow]) -> SamplingArrays:
        """The arrays of this step: what changes with every token is written to what does not, or added to it."""
        arrays = self._constant([row.options for row in rows])
        arrays.position[:] = [row.index for row in rows]
        if not any(_needs_history(row.options) for row in rows):
            return arrays
        histories = [(*row.tokens, *row.drafted) if _needs_history(row.options) else () for row in rows]
        return replace(
            arrays,
            history=_concatenated(histories, np.int32),
            history_offsets=_offsets(histories),
            output_starts=np.array([row.prompt_length for row in rows], np.int64),
        )

    def _constant(self, options: list[SamplingOptions]) -> SamplingArrays:
        key = tuple(map(id, options))
        kept = self._kept.pop(key, None) or (options, _constant_arrays(options))
        self._kept[key] = kept
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return kept[1]


def _constant_arrays(options: Sequence[SamplingOptions]) -> SamplingArrays:
    return replace(
        SamplingArrays.greedy(len(options)),
        temperature=_floats(option.temperature for option in options),
        top_k=np.array([option.top_k for option in options], np.int32),
        top_p=_floats(option.top_p for option in options),
        min_p=_floats(option.min_p for option in options),
        repetition_penalty=_floats(option.repetition_penalty for option in options),
        presence_penalty=_floats(option.presence_penalty for option in options),
        frequency_penalty=_floats(option.frequency_penalty for option in options),
        seed=np.array([_seed(option) for option in options], np.uint64),
        bias_ids=_concatenated([tuple(option.logit_bias) for option in options], np.int32),
        bias_values=_concatenated([tuple(option.logit_bias.values()) for option in options], np.float32),
        bias_offsets=_offsets([option.logit_bias for option in options]),
        top_logprobs=np.array([-1 if option.logprobs is None else option.logprobs for option in options], np.int32),
    )


def _output(result: SampleResult, index: int, token_id: int, count: int | None) -> TokenOutput:
    if count is None:
        return TokenOutput(token_id)
    ids, values = result.top_ids[index, :count].tolist(), result.top_logprobs[index, :count].tolist()
    return TokenOutput(token_id, float(result.logprobs[index]), tuple(zip(ids, values, strict=True)))


def _needs_history(options: SamplingOptions) -> bool:
    return options.repetition_penalty != 1 or options.presence_penalty != 0 or options.frequency_penalty != 0


def _seed(options: SamplingOptions) -> int:
    assert options.seed is not None, "the engine gives every sequence a seed"
    return options.seed % 2**64


def _floats(values: Iterable[float]) -> npt.NDArray[np.float32]:
    return np.fromiter(values, np.float32)


def _concatenated(parts: Sequence[Sequence[Any]], kind: type[np.number[Any]]) -> npt.NDArray[Any]:
    return np.concatenate([np.array(part, kind) for part in parts])


def _offsets(parts: Iterable[Any]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
