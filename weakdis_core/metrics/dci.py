"""DCI: disentanglement, completeness and informativeness, from gradient boosting's importances."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weakdis_core.errors import UserError
from weakdis_core.metrics.validation import Codes, Factors, checked_splits, varying
from weakdis_core.seeding import derive

_SMALL = 1e-11


@dataclass(frozen=True)
class DCI:
    """The three scores.

    Attributes:
        disentanglement: In [0, 1]: does each code dimension matter to one factor only? NaN where
            fewer than two factors are defined.
        completeness: In [0, 1]: does one code dimension alone matter to each factor? NaN with one
            code dimension (or group).
        informativeness: Accuracy of the predicted factor values on test, mean over factors.
    """

    disentanglement: float
    completeness: float
    informativeness: float


@dataclass(frozen=True, eq=False)
class Importances:
    """How much each code dimension matters to each factor: fitted once, summed in several ways.

    Attributes:
        matrix: `(d, k)` importances; NaN for undefined factors, those with one value in train.
        accuracies: `(k,)` accuracy on test; NaN for undefined factors and without test rows.
    """

    matrix: NDArray[np.float64]
    accuracies: NDArray[np.float64]

    def dci(self, groups: ArrayLike | None = None) -> DCI:
        """The scores over the factors that are defined.

        Args:
            groups: `(d,)` integers, the partition of each code dimension: importances are summed
                within each, and partitions take the place of dimensions. None takes every
                dimension by itself.

        Raises:
            UserError: There is not one group for each code dimension.
        """
        defined = ~np.isnan(self.matrix).any(axis=0)
        if not defined.any():
            return DCI(float("nan"), float("nan"), float("nan"))
        matrix = self.matrix[:, defined]
        if groups is not None:
            matrix = _summed(matrix, np.asarray(groups))
        informativeness = float(self.accuracies[defined].mean())
        return DCI(_concentration(matrix.T), _concentration(matrix), informativeness)


def dci(
    train_codes: ArrayLike,
    train_factors: ArrayLike,
    test_codes: ArrayLike,
    test_factors: ArrayLike,
    groups: ArrayLike | None = None,
    n_jobs: int = 1,
) -> DCI:
    """DCI scores (Eastwood & Williams, 2018), as in disentanglement_lib.

    Arguments and errors are those of `importances`, with the `groups` of `Importances.dci`. Factors
    with one value in train are undefined and left out; all scores are NaN where no other is left.
    """
    fitted = importances(train_codes, train_factors, test_codes, test_factors, n_jobs)
    return fitted.dci(groups)


def importances(
    train_codes: ArrayLike,
    train_factors: ArrayLike,
    test_codes: ArrayLike,
    test_factors: ArrayLike,
    n_jobs: int = 1,
) -> Importances:
    """Fit a gradient boosting classifier to each factor.

    Costs, on one core: about 10 s for 1,000 rows of 48 raw dimensions and a factor of ten values,
    growing with rows, dimensions and values alike; a tenth of it for converted codes.

    Args:
        train_codes: `(n, d)` codes.
        train_factors: `(n, k)` factor values.
        test_codes: `(m, d)` codes.
        test_factors: `(m, k)` factor values.
        n_jobs: Threads: factors are fitted in parallel.

    Raises:
        UserError: The arrays are not of these shapes, or a code is not finite.
    """
    from joblib import Parallel, delayed

    arrays = checked_splits(train_codes, train_factors, test_codes, test_factors)
    codes, values, other_codes, other_values = arrays
    matrix = np.full((codes.shape[1], values.shape[1]), np.nan)
    accuracies = np.full(values.shape[1], np.nan)
    defined = varying(values)
    # Threads, since trees grow outside the interpreter's lock: no processes to start under Ray.
    fits = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(_fit)(codes, values[:, factor], other_codes, other_values[:, factor])
        for factor in defined
    )
    for factor, (importance, accuracy) in zip(defined, fits, strict=True):
        matrix[:, factor], accuracies[factor] = importance, accuracy
    return Importances(matrix, accuracies)


def _fit(
    codes: Codes, values: Factors, other_codes: Codes, other_values: Factors
) -> tuple[NDArray[np.float64], float]:
    """Importance of each code dimension for one factor, and the accuracy on test."""
    # A second to import: see mutual_information.py.
    from sklearn.ensemble import GradientBoostingClassifier

    # scikit-learn's defaults, as the published scores. Among them max_features=None: every split
    # looks at all dimensions. Converted codes need that, for they have few, and a split that may
    # not look at the right one would give its importance to another.
    model = GradientBoostingClassifier(random_state=derive(0, "dci") % 2**32)
    # Equal rows that weigh together give the same trees, for a fraction of the work on converted
    # codes.
    rows = np.column_stack([codes, values])
    _, first, weights = np.unique(rows, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    first, weights = first[order], weights[order]
    model.fit(codes[first], values[first], sample_weight=weights)
    accuracy = float("nan")
    if len(other_codes):
        accuracy = float(np.mean(model.predict(other_codes) == other_values))
    return np.abs(model.feature_importances_), accuracy


def _summed(matrix: NDArray[np.float64], groups: NDArray[Any]) -> NDArray[np.float64]:
    """Importances summed over the dimensions of each group, `(groups, factors)`."""
    if groups.shape != matrix.shape[:1]:
        raise UserError(
            f"groups: shape {groups.shape} is not allowed: one group for each of the "
            f"{len(matrix)} code dimensions is"
        )
    _, group = np.unique(groups, return_inverse=True)
    summed = np.zeros((group.max() + 1, matrix.shape[1]))
    np.add.at(summed, group, matrix)
    return summed


def _concentration(matrix: NDArray[np.float64]) -> float:
    """1 - entropy of each column over its rows, mean weighted by the columns' shares."""
    from scipy.stats import entropy

    if len(matrix) < 2:
        return float("nan")
    each = 1 - entropy(matrix + _SMALL, base=len(matrix), axis=0)
    share = matrix.sum(axis=0)
    return float(np.average(each, weights=share if share.any() else None))
