"""Drawing tokens from logits, natively, for both backends. Every row is drawn from by itself.

In this order, for each row:

1. Log-probabilities are taken of the logits as the model gave them, before anything below. They are what is reported.
2. Penalties, then bias, then the mask:
   - repetition: in prompt or output tokens have positive logits divided, negative ones multiplied (Keskar et al. 2019);
   - presence and frequency: `presence + frequency * count` is subtracted from tokens in the output (not the prompt);
   - bias is added;
   - tokens that the mask does not allow are ruled out.
3. Temperature 0 takes the largest logit, and of equal ones the lowest id. Nothing below applies then.
4. Logits are divided by the temperature and become probabilities.
5. top_k keeps the k most likely (of equal ones the lower ids).
6. top_p keeps the fewest of these, most likely first, whose share of their sum reaches top_p; at least one
   (Holtzman et al. 2020).
7. min_p drops those less likely than min_p times the most likely.
8. One is drawn by a number in [0, 1) that Philox4x32-10 (Salmon et al. 2011) makes of (seed, position) alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from freehold import _kernels

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
UInt32Array = npt.NDArray[np.uint32]
UInt64Array = npt.NDArray[np.uint64]


class RowStatus(IntEnum):
    """What became of a row."""

    OK = 0
    NOT_FINITE = 1
    """The logits hold a NaN or +infinity, or are all -infinity."""
    NOTHING_ALLOWED = 2
    """Mask and bias leave no token."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SamplingArrays:
    """Options of all rows. Each array has one entry per row unless another shape is given.

    Attributes:
        temperature: >= 0.
        top_k: 0 keeps all.
        top_p: in [0, 1]; 1 keeps all.
        min_p: in [0, 1]; 0 drops none.
        repetition_penalty: in [1e-6, 1e6]; 1 is off.
        presence_penalty, frequency_penalty: 0 is off.
        seed, position: key the draw.
        history: [all tokens] ids of every row's prompt and output, one row after the other.
        history_offsets: [rows + 1] where each row's history begins.
        output_starts: how many tokens of a row's history are its prompt.
        bias_ids: [all biases] token ids; bias_values: what is added; bias_offsets: [rows + 1] as above.
        masks: [masks, vocabulary / 32 rounded up]; bit i % 32 of word i // 32 allows token i.
        mask_rows: which mask a row obeys; -1 for none.
        top_logprobs: how many of the most likely tokens to report beside the drawn one; -1 reports no log-probability
            at all, which saves summing them up.
    """

    temperature: Float32Array
    top_k: Int32Array
    top_p: Float32Array
    min_p: Float32Array
    repetition_penalty: Float32Array
    presence_penalty: Float32Array
    frequency_penalty: Float32Array
    seed: UInt64Array
    position: UInt64Array
    history: Int32Array
    history_offsets: Int64Array
    output_starts: Int64Array
    bias_ids: Int32Array
    bias_values: Float32Array
    bias_offsets: Int64Array
    masks: UInt32Array
    mask_rows: Int32Array
    top_logprobs: Int32Array

    @staticmethod
    def greedy(rows: int) -> SamplingArrays:
        """Temperature 0 and everything else off: a start for `dataclasses.replace`."""
        return SamplingArrays(
            temperature=np.zeros(rows, np.float32),
            top_k=np.zeros(rows, np.int32),
            top_p=np.ones(rows, np.float32),
            min_p=np.zeros(rows, np.float32),
            repetition_penalty=np.ones(rows, np.float32),
            presence_penalty=np.zeros(rows, np.float32),
            frequency_penalty=np.zeros(rows, np.float32),
            seed=np.zeros(rows, np.uint64),
            position=np.zeros(rows, np.uint64),
            history=np.zeros(0, np.int32),
            history_offsets=np.zeros(rows + 1, np.int64),
            output_starts=np.zeros(rows, np.int64),
            bias_ids=np.zeros(0, np.int32),
            bias_values=np.zeros(0, np.float32),
            bias_offsets=np.zeros(rows + 1, np.int64),
            masks=np.zeros((0, 0), np.uint32),
            mask_rows=np.full(rows, -1, np.int32),
            top_logprobs=np.zeros(rows, np.int32),
        )


_OPTIONS = tuple(field.name for field in fields(SamplingArrays))


@dataclass(frozen=True, slots=True, eq=False)
class SampleResult:
    """What was drawn.

    Attributes:
        token_ids: [rows] int32; -1 where status is not OK.
        logprobs: [rows] float32 of the drawn tokens; NaN where status is not OK, or nothing was to be reported.
        status: [rows] uint8, each a `RowStatus`.
        top_ids: [rows, most that a row asked for] int32, most likely first; -1 past what the row asked for.
        top_logprobs: the same shape, float32; -infinity past what the row asked for.
    """

    token_ids: Int32Array
    logprobs: Float32Array
    status: npt.NDArray[np.uint8]
    top_ids: Int32Array
    top_logprobs: Float32Array


def sample(logits: Float32Array, options: SamplingArrays) -> SampleResult:
    """Draw a token from each row.

    Args:
        logits: [rows, vocabulary] float32; left as they are.
        options: of the same number of rows.

    Raises:
        ValueError: an option or id is out of range, or an array has another size or type than it should.
    """
    rows = len(logits)
    width = max(options.top_logprobs.tolist(), default=0)
    shape = (rows, max(width, 0))
    result = SampleResult(
        token_ids=np.empty(rows, np.int32),
        logprobs=np.empty(rows, np.float32),
        status=np.empty(rows, np.uint8),
        top_ids=np.empty(shape, np.int32),
        top_logprobs=np.empty(shape, np.float32),
    )
    _kernels.sample(
        logits=logits,
        **{name: getattr(options, name) for name in _OPTIONS},
        token_ids=result.token_ids,
        logprobs=result.logprobs,
        status=result.status,
        top_ids=result.top_ids,
        top_values=result.top_logprobs,
    )
    return result
