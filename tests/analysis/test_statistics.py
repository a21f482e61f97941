from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics import (
    interquartile_mean,
    paired_interval,
    t_interval,
    wilson_interval,
)


def test_t_interval_known_answer() -> None:
    # Mean 3, s = sqrt(2.5), t(0.975, 4) = 2.776445: 3 -+ 2.776445 * sqrt(2.5 / 5).
    interval = t_interval([1, 2, 3, 4, 5])
    assert interval.value == 3
    assert interval.low == pytest.approx(1.036757, abs=1e-6)
    assert interval.high == pytest.approx(4.963243, abs=1e-6)
    assert interval.n == 5
    assert interval.half_width == pytest.approx(1.963243, abs=1e-6)


def test_t_interval_covers_95_percent_with_five_seeds() -> None:
    draws = np.random.default_rng(0).normal(0.9, 0.02, (4000, 5))
    intervals = [t_interval(draw) for draw in draws]
    assert np.mean([i.low <= 0.9 <= i.high for i in intervals]) == pytest.approx(0.95, abs=0.01)


def test_equal_scores_have_zero_width() -> None:
    interval = t_interval([0.5, 0.5, 0.5])
    assert (interval.low, interval.high) == (0.5, 0.5)


def test_one_score_has_no_interval() -> None:
    interval = t_interval([0.7])
    assert interval.value == 0.7
    assert math.isnan(interval.low)
    assert math.isnan(interval.half_width)
    assert interval.n == 1


@pytest.mark.parametrize("values", [[], [math.nan, math.nan]])
def test_without_scores_the_mean_is_nan(values: list[float]) -> None:
    interval = t_interval(values)
    assert all(math.isnan(end) for end in (interval.value, interval.low, interval.high))
    assert interval.n == 0


def test_missing_scores_are_not_counted() -> None:
    assert t_interval([0.5, math.nan, 0.7]) == t_interval([0.5, 0.7])


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([0.0, 0.5, 0.6, 0.7, 1.0], 0.6),
        # What one seed does does not matter, nor does their order.
        ([0.6, -9.0, 0.7, 0.5, math.nan, 1.0], 0.6),
        ([1, 2, 3, 4, 5, 6, 7, 80], 4.5),
        ([0.2, 0.6], 0.4),
    ],
)
def test_interquartile_mean_known_answers(values: list[float], mean: float) -> None:
    assert interquartile_mean(values) == pytest.approx(mean)


def test_interquartile_mean_without_scores_is_nan() -> None:
    assert math.isnan(interquartile_mean([]))
    assert math.isnan(interquartile_mean([math.nan]))


def test_paired_known_answer() -> None:
    # Differences 1, 2, 3: mean 2, s = 1, t(0.975, 2) = 4.302653: 2 -+ 4.302653 / sqrt(3).
    interval = paired_interval([2, 12, 103], [1, 10, 100])
    assert interval.value == 2
    assert (interval.low, interval.high) == pytest.approx((-0.484138, 4.484138), abs=1e-6)
    assert interval.n == 3


def test_paired_ignores_seeds_without_both_scores() -> None:
    interval = paired_interval([1, math.nan, 3], [0, 1, math.nan])
    assert (interval.value, interval.n) == (1, 1)
    assert math.isnan(interval.low)
    with pytest.raises(ValueError, match="2 seeds do not pair with 1"):
        paired_interval([1, 2], [1])


def test_wilson_known_answer() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263.
    interval = wilson_interval(81, 263)
    assert interval.value == pytest.approx(81 / 263)
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_wilson_without_trials_is_undefined() -> None:
    interval = wilson_interval(0, 0)
    assert math.isnan(interval.value)
    assert interval.n == 0


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_stays_within_bounds(successes: int, failures: int) -> None:
    trials = successes + failures
    if trials:
        interval = wilson_interval(successes, trials)
        assert -1e-12 <= interval.low <= interval.value + 1e-12
        assert interval.value - 1e-12 <= interval.high <= 1 + 1e-12


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="is not between 0 and trials"):
        wilson_interval(successes, trials)
