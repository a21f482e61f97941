"""SAP: the gap between the two code dimensions that predict a factor best."""

import numpy as np
from numpy.typing import ArrayLike

from weakdis_core.metrics.validation import Codes, Factors, check_splits, find_varying_columns


def sap(
    train_codes: ArrayLike, train_factors: ArrayLike, test_codes: ArrayLike, test_factors: ArrayLike
) -> float:
    """Return the separated attribute predictability (Kumar et al., 2018) of disentanglement_lib.

    It is the difference in test accuracy between the two best code dimensions, mean over factors.
    A linear support vector machine (C = 0.01, balanced class weights) predicts the factor from each
    dimension alone, unscaled. With one dimension, the second best accuracy counts as 0.

    The score depends on the numbering of integer codes (use 0-based ones). Perfect codes score far
    below 1, because a line cannot separate a middle value from the rest: see `sap_ceiling`.

    Args:
        train_codes: `(n, d)` codes.
        train_factors: `(n, k)` factor values.
        test_codes: `(m, d)` codes.
        test_factors: `(m, k)` factor values.

    Returns:
        In [0, 1]. Factors with one value in train are left out; NaN if none remains, or without
        test rows.

    Raises:
        UserError: The arrays do not have these shapes, or a code is not finite.
    """
    arrays = check_splits(train_codes, train_factors, test_codes, test_factors)
    codes, values, other_codes, other_values = arrays
    defined = find_varying_columns(values)
    if not len(defined) or not len(other_values):
        return float("nan")
    gaps = []
    for factor in defined:
        right = [
            _accuracy(code, values[:, factor], other_code, other_values[:, factor])
            for code, other_code in zip(codes.T, other_codes.T, strict=True)
        ]
        best, second = sorted([*right, 0.0], reverse=True)[:2]
        gaps.append(best - second)
    return float(np.mean(gaps))


def _accuracy(code: Codes, values: Factors, other_code: Codes, other_values: Factors) -> float:
    # scikit-learn takes a second to import.
    from sklearn.svm import LinearSVC

    # The primal has the same solution as the dual of disentanglement_lib, without random numbers.
    machine = LinearSVC(C=0.01, class_weight="balanced", dual=False)
    predicted = machine.fit(code[:, None], values).predict(other_code[:, None])
    return float(np.mean(predicted == other_values))
