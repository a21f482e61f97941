"""Factor and relation accuracy: integer arrays in, numbers out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class FactorAccuracy:
    """How often factor values are read right.

    Attributes:
        joint: Share of rows with every factor right; NaN without rows.
        per_factor: `(factors,)` share of rows with that factor right.
        count: Number of rows.
    """

    joint: float
    per_factor: NDArray[np.float64]
    count: int


@dataclass(frozen=True)
class RelationAccuracy:
    """How often a relation does what it should and nothing else.

    Attributes:
        all: Share of rows with every partition right: the target value in the affected one, the old
            value elsewhere. NaN without rows.
        affected: Share of rows with the affected partition right.
        per_relation: `(relations,)` as `all`, for each relation; NaN where none was drawn.
        counts: `(relations,)` rows of each relation.
        accepted: Share of rows that were judged at all (dense enough, where a threshold is set).
        count: Number of rows judged.
    """

    all: float
    affected: float
    per_relation: NDArray[np.float64]
    counts: NDArray[np.int64]
    accepted: float
    count: int


def factor_accuracy(predicted: ArrayLike, true: ArrayLike) -> FactorAccuracy:
    """Accuracy of predicted factor values, both `(n, factors)` integers."""
    right = np.asarray(np.equal(predicted, true))
    return FactorAccuracy(
        joint=_mean(np.all(right, axis=1)),
        per_factor=np.array([_mean(column) for column in right.T]),
        count=len(right),
    )


def relation_accuracy(
    predicted: ArrayLike,
    target: ArrayLike,
    relation: ArrayLike,
    affected: ArrayLike,
    accepted: ArrayLike | None = None,
) -> RelationAccuracy:
    """Accuracy of relations applied to rows.

    Args:
        predicted: `(n, factors)` values read after the relation.
        target: `(n, factors)` values that should be read.
        relation: `(n,)` index of the relation applied to each row.
        affected: `(relations,)` factor that each relation affects.
        accepted: `(n,)` booleans: rows to judge, for example those whose every code has a density
            above a threshold alpha. None judges all.
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
        counts=of_relation.sum(axis=0),
        accepted=_mean(keep),
        count=len(right),
    )


def _mean(values: NDArray[np.bool_] | np.bool_) -> float:
    """Mean of booleans, NaN without any."""
    return float(values.mean()) if values.size else float("nan")
