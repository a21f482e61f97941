"""MIG and modularity, from the mutual information of binned codes and factors.

Both are those of google-research/disentanglement_lib. They take codes `(n, d)` and factor values
`(n, k)`, and raise UserError for other shapes or codes that are not finite.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weakdis_core.metrics.validation import Codes, Factors, checked, varying

_BINS = 20


def mig(codes: ArrayLike, factors: ArrayLike) -> float:
    """Mutual information gap (Chen et al., 2018).

    Mean over factors of the difference between the two code dimensions that tell most about the
    factor, in mutual information, divided by the factor's entropy. A single code dimension has a
    second of 0 beside it.

    Returns:
        At most 1. Factors with one value among the rows are undefined and left out; NaN where no
        other is left.
    """
    code_array, values = checked(codes, factors)
    values = values[:, varying(values)]
    if not values.shape[1]:
        return float("nan")
    information = np.sort(_mutual_information(code_array, values), axis=0)
    second = information[-2] if len(information) > 1 else 0.0
    entropy = np.array([_information(column, column) for column in values.T])
    return float(np.mean((information[-1] - second) / entropy))


def modularity(codes: ArrayLike, factors: ArrayLike) -> float:
    """Modularity (Ridgeway & Mozer, 2018): does each code dimension tell about one factor only?

    Mean over code dimensions of 1 - (squared mutual information with all factors but the best) /
    (squared information with the best, times k - 1). A dimension that tells nothing counts as 0.
    A factor with one value among the rows counts among the k: no dimension tells about it.

    Returns:
        In [0, 1]; NaN with a single factor, and where every factor has one value.
    """
    code_array, values = checked(codes, factors)
    if values.shape[1] < 2 or not len(varying(values)):
        return float("nan")
    squared = np.square(_mutual_information(code_array, values))
    best = squared.max(axis=1)
    others = squared.sum(axis=1) - best
    tells = best > 0
    each = np.zeros(len(best))
    each[tells] = 1 - others[tells] / (best[tells] * (squared.shape[1] - 1))
    return float(each.mean())


def _mutual_information(codes: Codes, factors: Factors) -> NDArray[np.float64]:
    """Mutual information of every binned code dimension and factor, in nats, `(d, k)`."""
    return np.array(
        [[_information(binned, values) for values in factors.T] for binned in map(_bins, codes.T)]
    )


def _information(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    # scikit-learn takes a second to import, which a trial that measures no MIG need not wait for.
    from sklearn.metrics import mutual_info_score

    return float(mutual_info_score(first, second))


def _bins(code: NDArray[Any]) -> NDArray[np.int64]:
    """Which of 20 bins of equal width each value of one code dimension falls into, from 1."""
    try:
        edges = np.histogram_bin_edges(code, _BINS)
    except ValueError:
        # The range is a few rounding errors wide: no room for edges between. Stretched, it has.
        code = code.astype(np.float64) - float(code.min())
        code /= code.max()
        edges = np.histogram_bin_edges(code, _BINS)
    return np.asarray(np.digitize(code, edges[:-1]), dtype=np.int64)
