"""Factor and relation accuracy of integer arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LABELLED = "images_labelled"
"""Count of own images whose every factor is labelled; with `_<factor>` of those where it is."""

ABSENT = "images_absent"
"""Count of own images that a relation gives a combination of values without pictures."""


@dataclass(frozen=True)
class RelationAccuracy:
    """Accuracy of relations; NaN without rows.

    Attributes:
        all: Share of judged rows with every partition right: the target value in the affected one,
            the old value elsewhere.
        affected: Share of judged rows with the affected partition right.
        per_relation: `(relations,)` as `all`, for each relation.
        accepted: Share of rows that were judged.
    """

    all: float
    affected: float
    per_relation: NDArray[np.float64]
    accepted: float


def factor_accuracy(predicted: ArrayLike, true: ArrayLike) -> tuple[float, NDArray[np.float64]]:
    """Return the accuracy of predicted factor values, both `(n, factors)` integers.

    True values may be unknown (-1). A factor's accuracy is over the rows where it is known, the
    joint accuracy over those where every factor is.

    Returns:
        Share of rows with every factor right, and `(factors,)` share with each right; NaN without
        rows.
    """
    right, known = np.asarray(np.equal(predicted, true)), np.asarray(true) >= 0
    columns = zip(right.T, known.T, strict=True)
    joint = np.all(right, axis=1)[np.all(known, axis=1)]
    return _mean(joint), np.array([_mean(column[rows]) for column, rows in columns])


def balanced_accuracy(predicted: ArrayLike, true: ArrayLike) -> float:
    """Return the mean over the true values of the share of rows read right, both `(n,)`.

    Rows whose true value is unknown (-1) are left out; NaN without rows.
    """
    read, values = np.asarray(predicted), np.asarray(true)
    found = [_mean(read[values == value] == value) for value in np.unique(values[values >= 0])]
    return float(np.mean(found)) if found else float("nan")


def majority_accuracy(true: ArrayLike) -> float:
    """Return the share of the most frequent of the known values `(n,)`; NaN without any."""
    values = np.asarray(true)
    counts = np.bincount(values[values >= 0])
    return float(counts.max() / counts.sum()) if len(counts) else float("nan")


def relation_accuracy(
    predicted: ArrayLike,
    target: ArrayLike,
    relation: ArrayLike,
    affected: ArrayLike,
    accepted: ArrayLike | None = None,
) -> RelationAccuracy:
    """Return the accuracy of relations applied to rows.

    Args:
        predicted: `(n, factors)` values read after the relation.
        target: `(n, factors)` right values.
        relation: `(n,)` index of the relation applied to each row.
        affected: `(relations,)` factor that each relation affects.
        accepted: `(n,)` mask of the rows to judge, such as those with a density above a threshold.
            None judges all.
    """
    right = np.asarray(np.equal(predicted, target))
    drawn, of_factor = np.asarray(relation), np.asarray(affected)
    keep = np.ones(len(right), bool) if accepted is None else np.asarray(accepted, dtype=bool)
    right, drawn = right[keep], drawn[keep]
    all_right = np.asarray(np.all(right, axis=1))
    of_relation = drawn[:, None] == np.arange(len(of_factor))
    return RelationAccuracy(
        all=_mean(all_right),
        affected=_mean(right[np.arange(len(right)), of_factor[drawn]]),
        per_relation=np.array([_mean(all_right[rows]) for rows in of_relation.T]),
        accepted=_mean(keep),
    )


def _mean(values: NDArray[np.bool_] | np.bool_) -> float:
    return float(values.mean()) if values.size else float("nan")
