"""DCI (Eastwood & Williams, 2018), as in google-research/disentanglement_lib."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weakdis_core.errors import UserError
from weakdis_core.metrics.validation import Codes, Factors, check_splits, find_varying_columns
from weakdis_core.seeding import derive

_SMALL = 1e-11


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness and informativeness, in [0, 1].

    Attributes:
        disentanglement: 1 if each code dimension matters to one factor only. NaN with one factor.
        completeness: 1 if one dimension alone matters to each factor. NaN with one dimension.
        informativeness: Accuracy of the predicted factor values on test, mean over factors.
    """

    disentanglement: float
    completeness: float
    informativeness: float


@dataclass(frozen=True, eq=False)
class Importances:
    """Importance of each code dimension for each factor with several values in train.

    Attributes:
        matrix: `(k, d)` importances.
        accuracies: `(k,)` accuracy on test; NaN without test rows.
    """

    matrix: NDArray[np.float64]
    accuracies: NDArray[np.float64]

    def dci(self, groups: ArrayLike | None = None) -> DCI:
        """Return the scores; NaN without factors.

        Args:
            groups: `(d,)` integers, the partition of each code dimension. The importances of its
                dimensions are summed. None scores every dimension by itself.

        Raises:
            UserError: The number of groups is not that of code dimensions.
        """
        if not len(self.matrix):
            return DCI(float("nan"), float("nan"), float("nan"))
        matrix = self.matrix.T
        if groups is not None:
            matrix = _sum_groups(matrix, np.asarray(groups))
        informativeness = float(self.accuracies.mean())
        return DCI(_concentration(matrix.T), _concentration(matrix), informativeness)


def fit_importances(
    train_codes: ArrayLike,
    train_factors: ArrayLike,
    test_codes: ArrayLike,
    test_factors: ArrayLike,
    n_jobs: int = 1,
) -> Importances:
    """Fit a gradient boosting classifier to each factor.

    1,000 rows of 48 latent dimensions take one core about 10 s for a factor of ten values. The
    time grows with rows, dimensions and values.

    Args:
        train_codes: `(n, d)` codes.
        train_factors: `(n, k)` factor values.
        test_codes: `(m, d)` codes.
        test_factors: `(m, k)` factor values.
        n_jobs: Threads, each of which fits one factor at a time.

    Raises:
        UserError: The arrays do not have these shapes, or a code is not finite.
    """
    from joblib import Parallel, delayed

    arrays = check_splits(train_codes, train_factors, test_codes, test_factors)
    codes, values, other_codes, other_values = arrays
    # Trees grow without the interpreter's lock, so threads suffice.
    fits = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(_fit)(codes, values[:, factor], other_codes, other_values[:, factor])
        for factor in find_varying_columns(values)
    )
    matrix = np.array([importance for importance, _ in fits]).reshape(len(fits), codes.shape[1])
    return Importances(matrix, np.array([accuracy for _, accuracy in fits]))


def _fit(
    codes: Codes, values: Factors, other_codes: Codes, other_values: Factors
) -> tuple[NDArray[np.float64], float]:
    """Return the importance of each code dimension for one factor, and the accuracy on test."""
    # scikit-learn takes a second to import.
    from sklearn.ensemble import GradientBoostingClassifier

    # The defaults, as in the published scores. max_features=None shows every dimension to every
    # split; otherwise a split could give a dimension's importance to another.
    model = GradientBoostingClassifier(random_state=derive(0, "dci") % 2**32)
    # Merging equal rows into one with a weight gives the same trees in less time.
    rows = np.column_stack([codes, values])
    _, first, weights = np.unique(rows, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    first, weights = first[order], weights[order]
    model.fit(codes[first], values[first], sample_weight=weights)
    accuracy = float("nan")
    if len(other_codes):
        accuracy = float(np.mean(model.predict(other_codes) == other_values))
    return np.abs(model.feature_importances_), accuracy


def _sum_groups(matrix: NDArray[np.float64], groups: NDArray[Any]) -> NDArray[np.float64]:
    """Sum importances over the dimensions of each group, `(groups, factors)`."""
    if groups.shape != matrix.shape[:1]:
        raise UserError(
            f"groups: shape {groups.shape} is not allowed: each of the {len(matrix)} code "
            "dimensions needs one group"
        )
    _, group = np.unique(groups, return_inverse=True)
    summed = np.zeros((group.max() + 1, matrix.shape[1]))
    np.add.at(summed, group, matrix)
    return summed


def _concentration(matrix: NDArray[np.float64]) -> float:
    """Return 1 - entropy of each column over its rows, weighted by the columns' shares."""
    from scipy.stats import entropy

    if len(matrix) < 2:
        return float("nan")
    each = 1 - entropy(matrix + _SMALL, base=len(matrix), axis=0)
    share = matrix.sum(axis=0)
    return float(np.average(each, weights=share if share.any() else None))
