"""Factor and relation accuracy of integer arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


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

    Returns:
        Share of rows with every factor right, and `(factors,)` share with each right; NaN without
        rows.
    """
    right = np.asarray(np.equal(predicted, true))
    return _mean(np.all(right, axis=1)), np.array([_mean(column) for column in right.T])


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
