"""InfoMEC (Hsu et al., 2023): InfoM, InfoE and InfoC, as in kylehkhsu/latent_quantization."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weakdis_core.metrics.mutual_information import discrete_information
from weakdis_core.metrics.validation import Codes, Factors, check_arrays, find_varying_columns
from weakdis_core.seeding import derive

_NEIGHBOURS = 10
_ITERATIONS = 100
_SMALL = 1e-12
_INACTIVE = 20
"""A continuous dimension is inactive if its range is at most this fraction of the largest."""


@dataclass(frozen=True)
class InfoMEC:
    """Modularity, explicitness and compactness.

    Attributes:
        infom: 1 if each active code dimension informs on one factor only, 0 if on all equally.
            NaN with one factor, or without active dimensions.
        infoe: Share of each factor's uncertainty that a linear classifier removes. At most 1; 0
            for codes without information.
        infoc: 1 if one active dimension alone informs on each factor. NaN with fewer than two
            active dimensions.
    """

    infom: float
    infoe: float
    infoc: float


def infomec(codes: ArrayLike, factors: ArrayLike) -> InfoMEC:
    """Return the InfoMEC scores.

    Codes of an integer type are discrete values: their mutual information is that of the counts,
    and the classifier receives them one-hot. Others are continuous: their information is the
    nearest-neighbour estimate with k = 10. 10,000 rows of 10 dimensions and 5 factors take one
    core 10 s.

    Args:
        codes: `(n, d)` codes.
        factors: `(n, k)` factor values. Factors with one value are left out.

    Returns:
        The scores, NaN without other factors.

    Raises:
        UserError: The arrays do not have these shapes, or a code is not finite.
    """
    code_array, values = check_arrays(codes, factors)
    values = values[:, find_varying_columns(values)]
    if not values.shape[1]:
        return InfoMEC(math.nan, math.nan, math.nan)
    discrete = code_array.dtype.kind in "iu"
    scale = np.ptp(code_array.astype(np.float64), axis=0)
    active = scale > (0 if discrete else scale.max() / _INACTIVE)
    information = _information(code_array[:, active], values, discrete)
    entropy = np.diag(discrete_information(values, values))
    normalised = information / entropy
    return InfoMEC(
        infom=_concentration(normalised.T),
        infoe=_explicitness(code_array, values, discrete),
        infoc=_concentration(normalised),
    )


def _information(codes: Codes, factors: Factors, discrete: bool) -> NDArray[np.float64]:
    """Return the mutual information of code dimensions and factors, `(d, k)` in nats."""
    # scikit-learn takes a second to import.
    from sklearn.feature_selection import mutual_info_classif

    if discrete or not codes.shape[1]:
        return discrete_information(codes, factors)
    seed = derive(0, "infomec") % 2**32
    columns = [
        mutual_info_classif(
            _standardised(codes), values, discrete_features=False, n_neighbors=_NEIGHBOURS,
            random_state=seed,
        )
        for values in factors.T
    ]  # fmt: skip
    return np.array(columns).T


def _explicitness(codes: Codes, factors: Factors, discrete: bool) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.preprocessing import OneHotEncoder

    inputs = OneHotEncoder().fit_transform(codes) if discrete else _standardised(codes)
    explained = []
    for values in factors.T:
        model = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=_ITERATIONS)
        with warnings.catch_warnings():
            # Codes that determine a factor have no best weights: their loss approaches 0.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(inputs, values)
        # Without inputs, a balanced classifier gives every value the same probability.
        null = math.log(len(model.classes_))
        explained.append(1 - log_loss(values, model.predict_proba(inputs)) / null)
    return float(np.mean(explained))


def _standardised(codes: Codes) -> NDArray[np.float64]:
    from sklearn.preprocessing import StandardScaler

    return np.asarray(StandardScaler().fit_transform(codes.astype(np.float64)))


def _concentration(shares: NDArray[np.float64]) -> float:
    """Return the largest share of each column, mean, scaled from its least value to [0, 1].

    A column of zeros, up to rounding, counts as evenly spread.
    """
    least = 1 / len(shares) if len(shares) else 1.0
    if least == 1 or not shares.shape[1]:
        return math.nan
    total = shares.sum(axis=0)
    largest = np.divide(
        shares.max(axis=0), total, out=np.full(len(total), least), where=total > _SMALL
    )
    return float((largest.mean() - least) / (1 - least))
