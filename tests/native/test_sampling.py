"""Drawing tokens: the right sets, the right frequencies, and the same draw whoever else is in the batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold import _kernels
from freehold.ops.sampling import RowStatus, SampleResult, SamplingArrays, sample

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


def random_logits(seed: int, rows: int, vocabulary: int, spread: float = 3.0) -> Float32Array:
    values: Float32Array = np.random.default_rng(seed).standard_normal((rows, vocabulary), dtype=np.float32)
    return values * np.float32(spread)


def same_options(rows: int, *, seed: int = 7, **others: float) -> SamplingArrays:
    """The same options for all rows, each at its own position."""
    plain = SamplingArrays.greedy(rows)
    values = {"temperature": 1.0, "seed": seed} | others
    changes: dict[str, npt.NDArray[Any]] = {
        name: np.full(rows, value, getattr(plain, name).dtype) for name, value in values.items()
    }
    return replace(plain, position=np.arange(rows, dtype=np.uint64), **changes)


def log_softmax(logits: Float32Array) -> Float64Array:
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    result: Float64Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def distribution(
    logits: Float32Array, temperature: float = 1, top_k: float = 0, top_p: float = 1, min_p: float = 0
) -> Float64Array:
    """What one row is drawn from, by sorting everything."""
    probabilities = np.exp(log_softmax(logits / np.float32(temperature)))
    order = np.lexsort((np.arange(len(logits)), -probabilities))
    if top_k > 0:
        order = order[: int(top_k)]
    share = np.cumsum(probabilities[order]) / probabilities[order].sum()
    if top_p < 1:
        order = order[: int(np.searchsorted(share, top_p)) + 1]
    order = order[probabilities[order] >= min_p * probabilities.max()]
    result = np.zeros_like(probabilities)
    result[order] = probabilities[order] / probabilities[order].sum()
    return result


def test_greedy_takes_the_largest_and_of_equal_ones_the_first(isa: str) -> None:
    logits = random_logits(1, 6, 1003)
    logits[2, [40, 900]] = 50
    logits[3, 1002] = 60
    logits[4] = 1.5
    logits[5, :] = -np.inf
    logits[5, 17] = -3
    result = sample(logits, SamplingArrays.greedy(6))
    np.testing.assert_array_equal(result.token_ids, logits.argmax(axis=1))
    assert result.token_ids[2] == 40
    assert result.token_ids[4] == 0
    np.testing.assert_array_equal(result.status, RowStatus.OK)
    np.testing.assert_allclose(result.logprobs, log_softmax(logits)[np.arange(6), result.token_ids], atol=1e-5)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"temperature": 0.4},
        {"temperature": 2.5},
        {"top_k": 5},
        {"top_p": 0.8},
        {"min_p": 0.1},
        {"temperature": 1.7, "top_k": 20, "top_p": 0.9, "min_p": 0.05},
    ],
    ids=str,
)
def test_frequencies_are_those_of_the_distribution(isa: str, chosen: dict[str, float]) -> None:
    """Pearson's chi-square: by chance it passes its degrees of freedom + 5 deviations about once in a million draws."""
    draws = 20_000
    logits = random_logits(2, 1, 40, 1.5)
    result = sample(np.repeat(logits, draws, axis=0), same_options(draws, seed=7, **chosen))
    expected = distribution(logits[0], **chosen) * draws
    counts = np.bincount(result.token_ids, minlength=40)
    assert counts[expected == 0].sum() == 0
    likely = expected > 0
    statistic = float((((counts - expected) ** 2)[likely] / expected[likely]).sum())
    freedom = int(likely.sum()) - 1
    assert statistic < freedom + 5 * np.sqrt(2 * freedom) + 5


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    vocabulary=st.integers(1, 3000),
    temperature=st.floats(0.0625, 5, width=32),
    top_k=st.sampled_from([0, 1, 2, 40, 5000]),
    top_p=st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0]),
    min_p=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    seed=st.integers(0, 2**64 - 1),
)
def test_nothing_outside_the_filters_is_drawn(
    isa: str, *, vocabulary: int, temperature: float, top_k: int, top_p: float, min_p: float, seed: int
) -> None:
    logits = random_logits(seed % 1000, 1, vocabulary)
    options = same_options(64, temperature=temperature, seed=seed, top_k=top_k, top_p=top_p, min_p=min_p)
    result = sample(np.repeat(logits, 64, axis=0), options)
    # Tokens at the very edge of a filter may fall on either side of it by rounding.
    allowed = distribution(logits[0], temperature, top_k, min(top_p + 1e-5, 1.0), min_p * (1 - 1e-5)) > 0
    assert allowed[result.token_ids].all()
    if top_k == 1 or top_p == 0 or min_p == 1:
        assert (result.token_ids == logits[0].argmax()).all()


def test_equal_logits_are_cut_by_id(isa: str) -> None:
    logits = np.zeros((500, 64), np.float32)
    assert set(sample(logits, same_options(500, top_k=3)).token_ids) == {0, 1, 2}
    assert set(sample(logits, same_options(500, top_p=0.125)).token_ids) == set(range(8))


def test_extreme_temperatures(isa: str) -> None:
    logits = random_logits(3, 50, 100)
    cold = sample(logits, same_options(50, temperature=1e-30))
    np.testing.assert_array_equal(cold.token_ids, logits.argmax(axis=1))
    hot = sample(np.repeat(logits[:1], 5000, axis=0), same_options(5000, temperature=1e30))
    assert len(set(hot.token_ids)) == 100


def penalised(
    logits: Float32Array, prompt: list[int], output: list[int], *, repetition: float, presence: float, frequency: float
) -> Float32Array:
    result = logits.copy()
    for token in set(prompt + output):
        result[token] = result[token] / repetition if result[token] > 0 else result[token] * repetition
        count = output.count(token)
        result[token] -= (count > 0) * presence + count * frequency
    return result


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    prompt=st.lists(st.integers(0, 29), max_size=20),
    output=st.lists(st.integers(0, 29), max_size=20),
    repetition=st.sampled_from([1.0, 1.3, 0.7]),
    presence=st.sampled_from([0.0, 1.5, -2.0]),
    frequency=st.sampled_from([0.0, 0.4, -0.3]),
    bias=st.dictionaries(st.integers(0, 29), st.floats(-100, 100, width=32), max_size=4),
)
def test_penalties_and_bias(
    isa: str,
    *,
    prompt: list[int],
    output: list[int],
    repetition: float,
    presence: float,
    frequency: float,
    bias: dict[int, float],
) -> None:
    """In the middle of three rows, so that the offsets matter; greedy and drawn."""
    logits = random_logits(4, 3, 30)
    expected = penalised(logits[1], prompt, output, repetition=repetition, presence=presence, frequency=frequency)
    for token, value in bias.items():
        expected[token] += np.float32(value)
    lengths = [0, 3, 3 + len(prompt + output), 8 + len(prompt + output)]
    penalties = {"repetition_penalty": repetition, "presence_penalty": presence, "frequency_penalty": frequency}
    plain = same_options(3, seed=7, temperature=0, **penalties)
    options = replace(
        plain,
        history=np.array([1, 2, 3, *prompt, *output, 5, 5, 6, 6, 6], np.int32),
        history_offsets=np.array(lengths, np.int64),
        output_starts=np.array([1, len(prompt), 2], np.int64),
        bias_ids=np.array([4, *bias, 9], np.int32),
        bias_values=np.array([2.5, *bias.values(), -2.5], np.float32),
        bias_offsets=np.array([0, 1, 1 + len(bias), 2 + len(bias)], np.int64),
    )
    result = sample(logits, options)
    largest = np.sort(expected)[-2:]
    if largest[1] - largest[0] > 1e-4:  # else rounding decides
        assert result.token_ids[1] == expected.argmax()
    np.testing.assert_allclose(result.logprobs[1], log_softmax(logits)[1, result.token_ids[1]], atol=1e-5)
    again = sample(logits, options)  # counts of the history are cleared behind every row
    np.testing.assert_array_equal(again.token_ids, result.token_ids)


def test_a_mask_rules_out_all_others(isa: str) -> None:
    vocabulary = 70
    allowed = [0, 31, 32, 63, 69]
    masks = np.zeros((2, 3), np.uint32)
    for token in allowed:
        masks[1, token // 32] |= np.uint32(1 << token % 32)
    logits = np.repeat(random_logits(5, 1, vocabulary, 1.0), 600, axis=0)
    options = replace(same_options(600), masks=masks, mask_rows=np.full(600, 1, np.int32))
    assert set(sample(logits, options).token_ids) == set(allowed)
    mixed = replace(options, mask_rows=np.arange(600, dtype=np.int32) % 3 - 1)
    result = sample(logits, mixed)
    np.testing.assert_array_equal(result.status, np.tile([RowStatus.OK, RowStatus.NOTHING_ALLOWED, RowStatus.OK], 200))
    assert set(result.token_ids[2::3]) <= set(allowed)
    assert len(set(result.token_ids[0::3])) > len(allowed)
    assert np.all(result.token_ids[1::3] == -1)
    assert np.isnan(result.logprobs[1::3]).all()


def test_logits_that_are_not_finite_are_flagged_row_by_row(isa: str) -> None:
    logits = random_logits(6, 6, 77)
    clean = sample(logits, same_options(6))
    logits[1, 76], logits[2, 0], logits[4] = np.nan, np.inf, -np.inf
    logits[5, 3] = -np.inf  # fine: that token is just impossible
    result = sample(logits, same_options(6))
    bad = RowStatus.NOT_FINITE
    np.testing.assert_array_equal(result.status, [0, bad, bad, 0, bad, 0])
    np.testing.assert_array_equal(result.token_ids[[0, 3]], clean.token_ids[[0, 3]])
    assert np.all(result.token_ids[[1, 2, 4]] == -1)


def test_most_likely_tokens_are_reported_from_the_raw_logits(isa: str) -> None:
    logits = random_logits(7, 4, 500)
    logits[1, [3, 99]] = 30
    wanted = np.array([0, 3, 5, 1], np.int32)
    result = sample(logits, replace(same_options(4, top_k=1, repetition_penalty=2.0), top_logprobs=wanted))
    assert result.top_ids.shape == result.top_logprobs.shape == (4, 5)
    assert list(result.top_ids[1, :2]) == [3, 99]
    reference = log_softmax(logits)
    for row, count in enumerate(wanted):
        order = np.lexsort((np.arange(500), -logits[row]))[:count]
        np.testing.assert_array_equal(result.top_ids[row, :count], order)
        np.testing.assert_allclose(result.top_logprobs[row, :count], reference[row, order], atol=1e-5)
        assert np.all(result.top_ids[row, count:] == -1)
        assert np.all(np.isneginf(result.top_logprobs[row, count:]))


@pytest.mark.parametrize("order", ["rising", "falling", "equal", "mixed"])
def test_the_most_likely_of_many_are_found_in_any_order(isa: str, order: str) -> None:
    size = 5003
    values = {
        "rising": np.arange(size),
        "falling": -np.arange(size),
        "equal": np.zeros(size),
        "mixed": np.random.default_rng(0).integers(0, 40, size),
    }
    logits: Float32Array = values[order].astype(np.float32).reshape(1, -1) / np.float32(100)
    logits[0, 7] = -np.inf
    result = sample(logits, replace(same_options(1), top_logprobs=np.array([1500], np.int32)))
    np.testing.assert_array_equal(result.top_ids[0], np.lexsort((np.arange(size), -logits[0]))[:1500])


def test_what_is_not_reported_changes_no_draw(isa: str) -> None:
    logits, options = random_logits(9, 40, 300), varied_options(40)
    reported, silent = options.top_logprobs, np.where(np.arange(40) % 2, np.int32(-1), options.top_logprobs)
    expected = sample(logits, options)
    result = sample(logits, replace(options, top_logprobs=silent))
    np.testing.assert_array_equal(result.token_ids, expected.token_ids)
    np.testing.assert_array_equal(result.logprobs, np.where(silent < 0, np.float32(np.nan), expected.logprobs))
    assert np.all(result.top_ids[1::2] == -1)
    np.testing.assert_array_equal(result.top_ids[::2, : reported[0]], expected.top_ids[::2, : reported[0]])


@pytest.mark.parametrize("gap", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
def test_a_nucleus_of_almost_everything_leaves_nothing_out(isa: str, gap: float) -> None:
    """Whether or not the sum of so many weights, rounded, says that all of them are too few."""
    logits = np.full((2000, 5003), -gap, np.float32)
    logits[:, 0] = 0
    drawn = sample(logits, same_options(2000, top_p=float(np.nextafter(np.float32(1), np.float32(0))))).token_ids
    assert len(set(drawn)) > 1500  # 1649 expected of 2000 draws from 5003
    assert 4900 < max(drawn) < 5003


def varied_options(rows: int) -> SamplingArrays:
    rng = np.random.default_rng(8)
    history = rng.integers(0, 300, rows * 5).astype(np.int32)
    return replace(
        SamplingArrays.greedy(rows),
        temperature=rng.choice([0.0, 0.7, 1.3], rows).astype(np.float32),
        top_k=rng.choice([0, 10, 200], rows).astype(np.int32),
        top_p=rng.choice([1.0, 0.9], rows).astype(np.float32),
        min_p=rng.choice([0.0, 0.05], rows).astype(np.float32),
        repetition_penalty=rng.choice([1.0, 1.2], rows).astype(np.float32),
        seed=rng.integers(0, 2**63, rows).astype(np.uint64),
        position=rng.integers(0, 1000, rows).astype(np.uint64),
        history=history,
        history_offsets=np.arange(0, rows * 5 + 1, 5, dtype=np.int64),
        top_logprobs=np.full(rows, 4, np.int32),
    )


def one_row(options: SamplingArrays, row: int) -> SamplingArrays:
    begin, end = options.history_offsets[row : row + 2]
    names = [name for name in options.__slots__ if len(getattr(options, name)) == len(options.seed)]
    return replace(
        options,
        **{name: getattr(options, name)[row : row + 1] for name in names},
        history=options.history[begin:end],
        history_offsets=np.array([0, end - begin], np.int64),
        bias_offsets=np.zeros(2, np.int64),
    )


def rows_of(result: SampleResult) -> list[tuple[bytes, ...]]:
    fields = (result.token_ids, result.logprobs, result.top_ids, result.top_logprobs)
    return [tuple(field[row].tobytes() for field in fields) for row in range(len(result.token_ids))]


def test_a_draw_depends_on_its_own_row_only(isa: str) -> None:
    logits = random_logits(9, 40, 300)
    options = varied_options(40)
    together = rows_of(sample(logits, options))
    assert together == [rows_of(sample(logits[row : row + 1], one_row(options, row)))[0] for row in range(40)]
    for threads in (1, 2, 5):
        _kernels.set_threads(threads)
        assert rows_of(sample(logits, options)) == together


def test_rows_may_lie_apart() -> None:
    wide = random_logits(10, 8, 200)
    options = same_options(8)
    assert rows_of(sample(wide[:, 50:150], options)) == rows_of(sample(wide[:, 50:150].copy(), options))


def test_seed_and_position_key_the_draw() -> None:
    logits = np.zeros((1000, 1000), np.float32)
    first = sample(logits, same_options(1000, seed=1)).token_ids
    np.testing.assert_array_equal(first, sample(logits, same_options(1000, seed=1)).token_ids)
    for other in (2, 2**32 + 1, 2**63 + 1):
        assert np.mean(first == sample(logits, same_options(1000, seed=other)).token_ids) < 0.02
    assert len(set(first)) > 550  # 632 expected of 1000 draws from 1000


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 as its paper writes it."""
    for _ in range(10):
        first, second = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        low = 0xFFFFFFFF
        counter = [second >> 32 ^ counter[1] ^ key[0], second & low, first >> 32 ^ counter[3] ^ key[1], first & low]
        key = [key[0] + 0x9E3779B9 & low, key[1] + 0xBB67AE85 & low]
    return counter


def test_philox_gives_its_authors_known_answers() -> None:
    ones = 0xFFFFFFFF
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox([ones] * 4, [ones] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    assert philox([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]) == [
        0xD16CFE09,
        0x94FDCCEB,
        0x5001E420,
        0x24126EA1,
    ]


@given(seed=st.integers(0, 2**64 - 1), position=st.integers(0, 2**64 - 1))
def test_uniform_numbers_are_philoxs(seed: int, position: int) -> None:
    low = 0xFFFFFFFF
    words = philox([position & low, position >> 32, 0, 0], [seed & low, seed >> 32])
    assert _kernels.uniform(seed, position) == ((words[0] << 32 | words[1]) >> 11) * 2.0**-53


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("temperature", [-0.1, np.nan, np.inf]),
        ("top_k", [-1, -(2**31)]),
        ("top_p", [-0.1, 1.1, np.nan]),
        ("min_p", [-0.1, 1.1, np.nan]),
        ("repetition_penalty", [0, -1, 1e7, np.nan]),
        ("presence_penalty", [np.nan, np.inf]),
        ("frequency_penalty", [np.nan, -np.inf]),
        ("output_starts", [-1, 2**63 - 1]),
        ("mask_rows", [-2, 0, 2**31 - 1]),
        ("top_logprobs", [-2, 101, 2**31 - 1]),
    ],
)
def test_options_out_of_range_are_refused_by_name(name: str, bad: list[float]) -> None:
    logits = random_logits(11, 2, 100)
    for value in bad:
        array = getattr(SamplingArrays.greedy(2), name).copy()
        array[1] = value
        top = np.zeros((2, 100), np.int32), np.zeros((2, 100), np.float32)  # so that the width is not what is refused
        with pytest.raises(ValueError, match=rf"{name}\[1\] is .*, must be from"):
            _call(logits, replace(SamplingArrays.greedy(2), **{name: array}), *top)


def _call(
    logits: Float32Array, options: SamplingArrays, top_ids: npt.NDArray[np.int32], top_values: Float32Array
) -> None:
    rows = len(logits)
    _kernels.sample(
        logits=logits,
        **{name: getattr(options, name) for name in options.__slots__},
        token_ids=np.zeros(rows, np.int32),
        logprobs=np.zeros(rows, np.float32),
        status=np.zeros(rows, np.uint8),
        top_ids=top_ids,
        top_values=top_values,
    )


def test_ids_and_offsets_out_of_range_are_refused() -> None:
    logits = random_logits(12, 2, 100)
    plain = SamplingArrays.greedy(2)
    one = np.ones(1, np.float32)
    cases: list[tuple[dict[str, Any], str]] = []
    for bad in (-1, 100, 2**31 - 1):
        ids = np.array([bad], np.int32)
        offsets = np.array([0, 1, 1], np.int64)
        cases.append(
            ({"history": ids, "history_offsets": offsets}, rf"history\[0\] is {bad}, but the vocabulary has 100")
        )
        cases.append(({"bias_ids": ids, "bias_values": one, "bias_offsets": offsets}, rf"bias_ids\[0\] is {bad}"))
    for bad_offsets in ([1, 1, 1], [0, -1, 0], [0, 2**62, 0], [0, 0, 1], [0, 0, 2**63 - 1]):
        cases.append(({"history_offsets": np.array(bad_offsets, np.int64)}, "history_offsets (begin|fall|end)"))
        cases.append(({"bias_offsets": np.array(bad_offsets, np.int64)}, "bias_offsets (begin|fall|end)"))
    cases.append(({"masks": np.zeros((1, 3), np.uint32)}, r"masks.shape\[1\] is 3, must be 4"))
    cases.append(({"seed": np.zeros(3, np.uint64)}, r"seed.shape\[0\] is 3, must be 2"))
    cases.append(({"seed": np.zeros(2, np.int64)}, "seed is of type int64, must be uint64"))
    for changes, message in cases:
        with pytest.raises(ValueError, match=message):
            sample(logits, replace(plain, **changes))
    with pytest.raises(ValueError, match=r"logits.shape\[1\] is 0, must be from 1"):
        sample(np.zeros((2, 0), np.float32), plain)
    assert sample(np.zeros((0, 100), np.float32), SamplingArrays.greedy(0)).token_ids.shape == (0,)
