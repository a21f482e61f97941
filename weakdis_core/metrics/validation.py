"""Checks of the arrays that the disentanglement metrics take."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weakdis_core.errors import UserError

Codes = NDArray[Any]
Factors = NDArray[np.int64]


def check_arrays(codes: ArrayLike, factors: ArrayLike, prefix: str = "") -> tuple[Codes, Factors]:
    """Check codes and factor values.

    Codes keep their floating type, because the edges of the bins depend on it.

    Args:
        codes: `(n, d)` finite numbers, at least one dimension.
        factors: `(n, k)` integers, at least one factor.
        prefix: Prefix of the names in messages.

    Raises:
        UserError: The shapes, numbers of rows or values are others.
    """
    code_array = _table(codes, f"{prefix}codes")
    values = _table(factors, f"{prefix}factors")
    if len(code_array) != len(values):
        raise UserError(
            f"{prefix}factors: {len(values)} rows are not allowed: {prefix}codes has "
            f"{len(code_array)}"
        )
    if not (finite := np.isfinite(code_array)).all():
        raise UserError(f"{prefix}codes: {(~finite).sum()} values are not finite numbers")
    integers = np.asarray(values, dtype=np.int64)
    if not np.array_equal(integers, values):
        raise UserError(f"{prefix}factors: {values.dtype} values are not allowed: use integers")
    return code_array, integers


def check_splits(
    train_codes: ArrayLike, train_factors: ArrayLike, test_codes: ArrayLike, test_factors: ArrayLike
) -> tuple[Codes, Factors, Codes, Factors]:
    """Check codes and factor values of train and test, as `check_arrays` does.

    Raises:
        UserError: One pair is not allowed, or their numbers of columns differ.
    """
    train = check_arrays(train_codes, train_factors, "train_")
    test = check_arrays(test_codes, test_factors, "test_")
    for name, ours, theirs in zip(("codes", "factors"), test, train, strict=True):
        if ours.shape[1] != theirs.shape[1]:
            raise UserError(
                f"test_{name}: {ours.shape[1]} columns are not allowed: train_{name} has "
                f"{theirs.shape[1]}"
            )
    return *train, *test


def find_varying_columns(factors: Factors) -> NDArray[np.int64]:
    """Return the columns of `factors` with two values or more; the others are undefined."""
    return np.flatnonzero((factors != factors[:1]).any(axis=0))


def _table(values: ArrayLike, name: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 2 or not array.shape[1]:
        raise UserError(f"{name}: shape {array.shape} is not allowed: it needs rows and columns")
    return array if array.dtype.kind in "iuf" else array.astype(np.float64)
