"""Uncertainty of a score: numbers in, an interval out. Undefined is NaN, with its count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FEWEST_SEEDS = 5
"""Seeds that a row of the tables needs; with fewer its scores are preliminary."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        value: The estimate; NaN without observations.
        low: Lower end; NaN where the interval is undefined.
        high: Upper end; likewise.
        n: Observations behind it.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the interval's width; NaN where it is undefined."""
        return (self.high - self.low) / 2


def t_interval(values: Sequence[float] | NDArray[np.float64], confidence: float = 0.95) -> Interval:
    """Mean over seeds with Student's t-interval.

    A percentile bootstrap of five seeds covers 84%, not 95%: hence t. The ends are not clipped to
    [0, 1], because they describe the mean's uncertainty, not the score's range.

    Args:
        values: One score a seed; NaN (the score does not exist) is left out and not counted.
        confidence: Coverage.

    Returns:
        The mean and its interval; the ends are NaN with fewer than two scores.
    """
    scores = np.asarray(values, dtype=np.float64)
    scores = scores[~np.isnan(scores)]
    n = len(scores)
    if n == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    mean = float(scores.mean())
    if n == 1:
        return Interval(mean, np.nan, np.nan, 1)
    quantile = float(stats.t.ppf((1 + confidence) / 2, df=n - 1))
    half_width = quantile * float(scores.std(ddof=1)) / n**0.5
    return Interval(mean, mean - half_width, mean + half_width, n)


def interquartile_mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Mean of the middle half of the scores, which one seed that failed does not move.

    Args:
        values: One score a seed; NaN is left out. A quarter of them, rounded down, is cut off at
            either end, so that of fewer than four it is the mean.

    Returns:
        NaN without scores.
    """
    scores = np.asarray(values, dtype=np.float64)
    scores = scores[~np.isnan(scores)]
    return float(stats.trim_mean(scores, 0.25)) if len(scores) else np.nan


def paired_interval(
    scores: Sequence[float] | NDArray[np.float64],
    others: Sequence[float] | NDArray[np.float64],
    confidence: float = 0.95,
) -> Interval:
    """Mean difference of two methods on the same seeds, with Student's t-interval.

    What a seed does to both methods cancels, so that the interval is narrower than one of the
    difference of two independent means.

    Args:
        scores: One score a seed.
        others: The other method's, in the same order of seeds; a seed that lacks either (NaN) is
            left out and not counted.
        confidence: Coverage.

    Returns:
        The mean of `scores - others`; the ends are NaN with fewer than two pairs.

    Raises:
        ValueError: There are more of the one than of the other.
    """
    first, second = (np.asarray(each, dtype=np.float64) for each in (scores, others))
    if first.shape != second.shape:
        raise ValueError(f"scores: {len(first)} seeds do not pair with {len(second)}")
    return t_interval(first - second, confidence)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """One accuracy with Wilson's interval, which stays inside [0, 1] and works at both ends.

    Args:
        successes: Right answers.
        trials: Answers in all; without any the interval is NaN.
        confidence: Coverage.

    Raises:
        ValueError: `successes` is negative or exceeds `trials`.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes: {successes} is not between 0 and trials ({trials})")
    if trials == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    ends = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(successes / trials, float(ends.low), float(ends.high), trials)
