"""SAP: how much better the best code dimension predicts a factor than the second best does."""

import numpy as np
from numpy.typing import ArrayLike

from weakdis_core.metrics.validation import Codes, Factors, checked_splits, varying


def sap(
    train_codes: ArrayLike, train_factors: ArrayLike, test_codes: ArrayLike, test_factors: ArrayLike
) -> float:
    """Separated attribute predictability (Kumar et al., 2018), as in disentanglement_lib.

    For every code dimension and factor a linear support vector machine (C = 0.01, balanced class
    weights) is fitted to that dimension alone, unscaled, on train; its accuracy on test is the
    score. The result is the mean over factors of the difference between the two best dimensions;
    a single code dimension has a second of 0 beside it.

    The score depends on how integer codes are numbered (use 0-based ones), and perfect codes are
    far from 1: one line against the rest cannot cut out a value in the middle. Compare with
    `sap_ceiling`.

    Args:
        train_codes: `(n, d)` codes.
        train_factors: `(n, k)` factor values.
        test_codes: `(m, d)` codes.
        test_factors: `(m, k)` factor values.

    Returns:
        In [0, 1]. Factors with one value in train are undefined and left out; NaN where no other
        is left, and without test rows.

    Raises:
        UserError: The arrays are not of these shapes, or a code is not finite.
    """
    arrays = checked_splits(train_codes, train_factors, test_codes, test_factors)
    codes, values, other_codes, other_values = arrays
    defined = varying(values)
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
    # A second to import: see mutual_information.py.
    from sklearn.svm import LinearSVC

    # The primal has the solution of the dual, which disentanglement_lib's scikit-learn solved, and
    # reaches it without random numbers.
    machine = LinearSVC(C=0.01, class_weight="balanced", dual=False)
    predicted = machine.fit(code[:, None], values).predict(other_code[:, None])
    return float(np.mean(predicted == other_values))
