"""Uncertainty of a score: numbers in, an interval out. Undefined is NaN, with its count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Scores = Sequence[float] | NDArray[np.float64]

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


UNDEFINED = Interval(np.nan, np.nan, np.nan, 0)
"""An estimate without observations."""


def t_interval(values: Scores) -> Interval:
    """Mean over seeds with Student's 95% t-interval.

    A percentile bootstrap of five seeds covers 84%, not 95%: hence t. The ends are not clipped to
    [0, 1], because they describe the mean's uncertainty, not the score's range.

    Args:
        values: One score a seed; NaN (the score does not exist) is left out and not counted.

    Returns:
        The mean and its interval; the ends are NaN with fewer than two scores.
    """
    scores = _present(values)
    n = len(scores)
    if n < 2:
        return Interval(float(scores[0]), np.nan, np.nan, 1) if n else UNDEFINED
    mean = float(scores.mean())
    half_width = float(stats.t.ppf(0.975, df=n - 1)) * float(scores.std(ddof=1)) / n**0.5
    return Interval(mean, mean - half_width, mean + half_width, n)


def interquartile_mean(values: Scores) -> float:
    """Mean of the middle half of the scores, which one seed that failed does not move.

    Args:
        values: One score a seed; NaN is left out. A quarter of them, rounded down, is cut off at
            either end, so that of fewer than four it is the mean; without any it is NaN.
    """
    scores = _present(values)
    return float(stats.trim_mean(scores, 0.25)) if len(scores) else np.nan


def paired_interval(scores: Scores, others: Scores) -> Interval:
    """Mean difference of two methods on the same seeds, with Student's 95% t-interval.

    What a seed does to both methods cancels, so that the interval is narrower than one of the
    difference of two independent means.

    Args:
        scores: One score a seed.
        others: The other method's, in the same order of seeds; a seed that lacks either (NaN) is
            left out and not counted.

    Returns:
        The mean of `scores - others`; the ends are NaN with fewer than two pairs.

    Raises:
        ValueError: There are more of the one than of the other.
    """
    first, second = (np.asarray(each, dtype=np.float64) for each in (scores, others))
    if first.shape != second.shape:
        raise ValueError(f"scores: {len(first)} seeds do not pair with {len(second)}")
    return t_interval(first - second)


def wilson_interval(successes: int, trials: int) -> Interval:
    """One accuracy with Wilson's 95% interval, which stays inside [0, 1] and works at both ends.

    Args:
        successes: Right answers.
        trials: Answers in all; without any the interval is NaN.

    Raises:
        ValueError: `successes` is negative or exceeds `trials`.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes: {successes} is not between 0 and trials ({trials})")
    if trials == 0:
        return UNDEFINED
    ends = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    return Interval(successes / trials, float(ends.low), float(ends.high), trials)


def _present(values: Scores) -> NDArray[np.float64]:
    scores = np.asarray(values, dtype=np.float64)
    return scores[~np.isnan(scores)]
