"""MIG and modularity, as in google-research/disentanglement_lib.

They take codes `(n, d)` and factor values `(n, k)`, and raise UserError for other shapes or codes
that are not finite.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weakdis_core.metrics.validation import Codes, Factors, check_arrays, find_varying_columns

_BINS = 20


def mig(codes: ArrayLike, factors: ArrayLike) -> float:
    """Return the mutual information gap (Chen et al., 2018).

    It is the difference in mutual information between the two most informative code dimensions,
    divided by the factor's entropy, mean over factors. A single dimension is compared with 0.

    Returns:
        At most 1. Factors with one value are left out; NaN without others.
    """
    code_array, values = check_arrays(codes, factors)
    values = values[:, find_varying_columns(values)]
    if not values.shape[1]:
        return float("nan")
    information = np.sort(_mutual_information(code_array, values), axis=0)
    second = information[-2] if len(information) > 1 else 0.0
    entropy = np.array([_information(column, column) for column in values.T])
    return float(np.mean((information[-1] - second) / entropy))


def modularity(codes: ArrayLike, factors: ArrayLike) -> float:
    """Return the modularity (Ridgeway & Mozer, 2018).

    It is 1 - (squared mutual information with all factors but the best) / (squared information
    with the best, times k - 1), mean over code dimensions. A dimension without information counts
    as 0. The k factors include those with one value.

    Returns:
        In [0, 1]; NaN with a single factor, or if every factor has one value.
    """
    code_array, values = check_arrays(codes, factors)
    if values.shape[1] < 2 or not len(find_varying_columns(values)):
        return float("nan")
    squared = np.square(_mutual_information(code_array, values))
    best = squared.max(axis=1)
    others = squared.sum(axis=1) - best
    full = best * (values.shape[1] - 1)
    share = np.divide(others, full, out=np.ones(len(best)), where=best > 0)
    return float((1 - share).mean())


def _mutual_information(codes: Codes, factors: Factors) -> NDArray[np.float64]:
    """Return the mutual information of binned code dimensions and factors, `(d, k)` in nats."""
    return discrete_information(np.stack([_bins(code) for code in codes.T], axis=1), factors)


def discrete_information(codes: Codes, factors: Factors) -> NDArray[np.float64]:
    """Return the mutual information of integer codes and factors, `(d, k)` in nats."""
    found = [[_information(code, values) for values in factors.T] for code in codes.T]
    return np.array(found).reshape(codes.shape[1], factors.shape[1])


def _information(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    # scikit-learn takes a second to import.
    from sklearn.metrics import mutual_info_score

    return float(mutual_info_score(first, second))


def _bins(code: NDArray[Any]) -> NDArray[np.int64]:
    """Return each value's bin among 20 of equal width, from 1."""
    try:
        edges = np.histogram_bin_edges(code, _BINS)
    except ValueError:
        # The range is a few rounding errors wide, too narrow for the edges: stretch it.
        code = code.astype(np.float64) - float(code.min())
        code /= code.max()
        edges = np.histogram_bin_edges(code, _BINS)
    return np.asarray(np.digitize(code, edges[:-1]), dtype=np.int64)
