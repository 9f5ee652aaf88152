"""Which experts are chosen, at the edges: equal ones, those that are not numbers, those that weigh nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from freehold.ops.base import Routing
from freehold.ops.native import NativeOps
from freehold.tensors import Tensor
from tests.native import reference
from tests.native.mixtures import COUNT, FEATURES, Mixture


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_the_earlier_of_two_equal_experts_is_chosen(isa: str, scoring: str, groups: int) -> None:
    mixture = Mixture(1)
    x = reference.random_values(2, 1, FEATURES)
    level = np.zeros((1, COUNT), np.float32)
    routing = Routing(2, scoring, groups=groups, groups_kept=1)
    first_two = np.full((1, COUNT), -80, np.float32)
    first_two[0, :2] = 0
    equal = mixture(x, level, replace(routing, normalise=True))
    np.testing.assert_array_equal(equal, mixture(x, first_two, routing))
    late = level.copy()
    late[0, 7:] = 1
    expected = np.full((1, COUNT), -80, np.float32)
    expected[0, 7 if groups == 1 else 8 : 9 if groups == 1 else 10] = 1
    np.testing.assert_array_equal(mixture(x, late, routing), mixture(x, expected, routing))


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_logits_whose_scores_round_to_the_same_are_told_apart(isa: str, scoring: str) -> None:
    mixture = Mixture(1)
    x = reference.random_values(2, 1, FEATURES)
    logits = np.full((1, COUNT), -200, np.float32)
    logits[0, 3:6] = [-120, 40, 80]  # sigmoids of the last two are 1, softmax of the others 0
    alone = np.full((1, COUNT), -200, np.float32)
    alone[0, 5] = 80
    np.testing.assert_array_equal(mixture(x, logits, Routing(1, scoring)), mixture(x, alone, Routing(1, scoring)))


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
@pytest.mark.parametrize("groups", [1, 4])
def test_logits_that_are_not_numbers_spoil_their_own_row_only(isa: str, groups: int, scoring: str) -> None:
    mixture = Mixture(1)
    routing = Routing(2, scoring, groups=groups, groups_kept=1)
    x, logits = reference.random_values(2, 4, FEATURES), reference.random_values(3, 4, COUNT)
    expected = mixture(x, logits, routing)
    spoilt = logits.copy()
    spoilt[1, 5] = np.nan
    spoilt[2] = np.nan
    result = mixture(x, spoilt, routing)
    np.testing.assert_array_equal(result[[0, 3]], expected[[0, 3]])
    assert np.isnan(result[1:3]).all()
    for bias in (np.full(COUNT, np.nan, np.float32), np.full(COUNT, np.inf, np.float32)):
        assert mixture(x, logits, routing, bias=bias).shape == x.shape  # whatever that means, it ends
    x[1] = np.nan
    result = mixture(x, logits, routing)
    np.testing.assert_array_equal(result[[0, 2, 3]], expected[[0, 2, 3]])
    assert np.isnan(result[1]).all()


def test_an_infinite_logit(isa: str) -> None:
    mixture = Mixture(1)
    x, logits = reference.random_values(2, 1, FEATURES), reference.random_values(3, 1, COUNT)
    logits[0, 4] = -np.inf
    assert np.isfinite(mixture(x, logits, Routing(3))).all()
    logits[0, 4] = np.inf
    assert np.isnan(mixture(x, logits, Routing(3))).all()  # a softmax of it is infinity over infinity
    assert np.isfinite(mixture(x, logits, Routing(3, "sigmoid"))).all()


def test_an_expert_that_weighs_nothing_does_nothing(isa: str) -> None:
    """Even where it would make infinity of a row: its score is exactly zero."""
    ops = NativeOps()
    plain, huge = (Tensor.from_array("weight", np.full((2, 1), size, np.float32)) for size in (1, 3e38))
    down = [[Tensor.from_array("down", np.full((1, 1), size, np.float32))] for size in (1, 3e38)]
    result = ops.experts(
        np.ones((1, 1), np.float32),
        np.array([[0, -200]], np.float32),
        ops.pack_experts([[plain], [huge]], None, None),
        ops.pack_experts(down, None, None),
        selection_bias=None,
        routing=Routing(2),
        activation="relu",
        limit=None,
    )
    np.testing.assert_array_equal(result, [[1]])


@pytest.mark.parametrize(
    ("routing", "message"),
    [
        (Routing(0), "top_k is 0, must be from 1 to 12"),
        (Routing(13), "top_k is 13, must be from 1 to 12"),
        (Routing(4, groups=4, groups_kept=1), "top_k is 4, must be from 1 to 3"),
        (Routing(1, groups=5), "12 experts cannot be divided into 5 groups"),
        (Routing(1, groups=0), "groups is 0, must be from 1 to 12"),
        (Routing(1, groups=4, groups_kept=5), "groups_kept is 5, must be from 1 to 4"),
        (Routing(1, groups=4, groups_kept=0), "groups_kept is 0, must be from 1 to 4"),
        (Routing(1, "argmax"), "scoring is 'argmax', must be softmax or sigmoid"),
        (Routing(1, scale=float("nan")), "scale is nan, must be finite"),
    ],
)
def test_routings_that_make_no_sense_are_refused(routing: Routing, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture(1)(np.zeros((1, FEATURES), np.float32), np.zeros((1, COUNT), np.float32), routing)
