"""MIG and modularity, as in google-research/disentanglement_lib, and InfoMEC.

They take codes `(n, d)` and factor values `(n, k)`, and raise UserError for other shapes or codes
that are not finite.
"""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weakdis_core.metrics.validation import Codes, Factors, check_arrays, find_varying_columns
from weakdis_core.seeding import derive

_BINS = 20
_NEIGHBOURS = 10


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


def infomec(codes: ArrayLike, factors: ArrayLike) -> dict[str, float]:
    """Return InfoM, InfoE and InfoC (Hsu et al., 2023), as in kylehkhsu/latent_quantization.

    Codes of an integer type are discrete values, others are continuous: their mutual information is
    estimated from 10 nearest neighbours. Factors with one value are left out.

    Returns:
        NaN without factors. `infom`: 1 if each active code dimension informs on one factor only,
        0 if on all equally; NaN with one factor, or if no dimension is active. `infoc`: 1 if one
        dimension alone informs on each factor; NaN with fewer than two active dimensions. `infoe`:
        the part of its loss, at most 1, that a linear classifier of each factor loses by the codes.
    """
    code_array, values = check_arrays(codes, factors)
    values = values[:, find_varying_columns(values)]
    if not values.shape[1]:
        return dict.fromkeys(("infom", "infoe", "infoc"), math.nan)
    # scikit-learn takes a second to import.
    from sklearn.feature_selection import mutual_info_classif
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    wide = code_array.astype(np.float64)
    width = np.ptp(wide, axis=0)
    discrete = code_array.dtype.kind in "iu"
    active = width > (0 if discrete else width.max() / 20)
    inputs = (OneHotEncoder() if discrete else StandardScaler()).fit_transform(wide)
    shares = np.zeros((values.shape[1], active.sum()))
    for row, each in zip(shares, values.T, strict=True):
        if discrete:
            row[:] = [_information(code, each) for code in code_array.T[active]]
        elif len(row):
            seed = derive(0, "infomec") % 2**32
            row[:] = mutual_info_classif(
                inputs[:, active], each, n_neighbors=_NEIGHBOURS, random_state=seed
            )
        row /= _information(each, each)
    explained = [_explained(inputs, each) for each in values.T]
    return {
        "infom": _dominance(shares),
        "infoe": float(np.mean(explained)),
        "infoc": _dominance(shares.T),
    }


def _explained(inputs: Any, values: NDArray[np.int64]) -> float:
    """Return the part of its loss that a balanced linear classifier loses by its inputs."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    model = LogisticRegression(C=np.inf, class_weight="balanced")
    with warnings.catch_warnings():
        # Codes that determine the factor have no best weights: the loss approaches 0.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(inputs, values)
    # Without inputs, every value is equally likely to a balanced classifier.
    null = math.log(len(model.classes_))
    return float(1 - log_loss(values, model.predict_proba(inputs)) / null)


def _dominance(shares: NDArray[np.float64]) -> float:
    """Return the largest part of each column's sum, mean, scaled so that even columns give 0."""
    if len(shares) < 2 or not shares.shape[1]:
        return math.nan
    even, total = 1 / len(shares), shares.sum(axis=0)
    # A column of zeros, up to rounding, is even.
    largest = np.divide(shares.max(axis=0), total, np.full(len(total), even), where=total > 1e-12)
    return float((largest.mean() - even) / (1 - even))


def _mutual_information(codes: Codes, factors: Factors) -> NDArray[np.float64]:
    """Return the mutual information of binned code dimensions and factors, `(d, k)` in nats."""
    return np.array(
        [[_information(binned, values) for values in factors.T] for binned in map(_bins, codes.T)]
    )


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
