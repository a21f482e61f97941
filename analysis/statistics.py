"""Confidence intervals of scores. Undefined values are NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Scores = Sequence[float] | NDArray[np.float64]

FEWEST_SEEDS = 5
"""Fewest seeds of a table row; with fewer its scores are preliminary."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        value: The estimate; NaN without observations.
        low: Lower end; NaN if the interval is undefined.
        high: Upper end; likewise.
        n: Number of observations.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the width of the interval; NaN if it is undefined."""
        return (self.high - self.low) / 2


UNDEFINED = Interval(np.nan, np.nan, np.nan, 0)
"""An estimate without observations."""


def t_interval(values: Scores) -> Interval:
    """Compute the mean over seeds with Student's 95% t-interval.

    A percentile bootstrap of five seeds would cover 84%, not 95%. The ends are not clipped to
    [0, 1], because they describe the uncertainty of the mean, not the range of the score.

    Args:
        values: One score for each seed; NaN (a missing score) is left out and not counted.

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
    """Compute the mean of the middle half of the scores, which a single bad seed does not change.

    Args:
        values: One score for each seed; NaN is left out. At each end, a quarter of the scores,
            rounded down, is cut off.

    Returns:
        The mean; NaN without scores.
    """
    scores = _present(values)
    return float(stats.trim_mean(scores, 0.25)) if len(scores) else np.nan


def paired_interval(scores: Scores, others: Scores) -> Interval:
    """Compute the mean difference of two methods on the same seeds, with Student's 95% t-interval.

    Effects of a seed on both methods cancel, so the interval is narrower than that of the
    difference of two independent means.

    Args:
        scores: One score for each seed.
        others: Scores of the other method for the same seeds. A seed without both is left out.

    Returns:
        The mean of `scores - others`; the ends are NaN with fewer than two pairs.

    Raises:
        ValueError: The methods have different numbers of scores.
    """
    first, second = (np.asarray(each, dtype=np.float64) for each in (scores, others))
    if first.shape != second.shape:
        raise ValueError(f"scores: {len(first)} seeds do not pair with {len(second)}")
    return t_interval(first - second)


def wilson_interval(successes: int, trials: int) -> Interval:
    """Compute an accuracy with Wilson's 95% interval, which stays within [0, 1].

    Args:
        successes: Number of right answers.
        trials: Number of answers; the interval is NaN if it is 0.

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
