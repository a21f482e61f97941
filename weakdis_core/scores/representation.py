"""Scores of any representation: codes and factor values, without a model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from weakdis_core.data.splits import shuffled
from weakdis_core.errors import UserError
from weakdis_core.metrics.ceilings import TEST_ROWS, TRAIN_ROWS
from weakdis_core.metrics.dci import DCI, fit_importances
from weakdis_core.metrics.infomec import infomec
from weakdis_core.metrics.mutual_information import mig, modularity
from weakdis_core.metrics.separability import sap
from weakdis_core.metrics.validation import Codes, Factors, check_arrays

ROWS_PER_VALUE = 10
"""Train rows, on average, that each value of a factor needs."""


@dataclass(frozen=True)
class MetricScore:
    """A score of a representation; NaN where it is undefined.

    Attributes:
        codes: Score of the codes.
        true_values: Score of the true factor values as codes, on the same rows: the ceiling.
        train_rows: Rows that the metric is fitted on.
        test_rows: Rows that it is scored on; 0 for metrics without a fit.
    """

    codes: float
    true_values: float
    train_rows: int
    test_rows: int


def score_representation(
    codes: ArrayLike,
    factors: ArrayLike,
    seed: int = 0,
    dci_rows: int = TRAIN_ROWS,
    names: Sequence[str] | None = None,
) -> dict[str, MetricScore]:
    """Score a representation by the protocol of disentanglement_lib.

    Two thirds of the rows are train, at most 10,000, and one third is test, at most 5,000.

    Args:
        codes: `(n, dimensions)` or `(n, partitions, latent)` codes. Those of an integer type are
            discrete to InfoMEC.
        factors: `(n, k)` factor values, from 0.
        seed: Seed of the draw of rows.
        dci_rows: Train rows of DCI, at most. Its time grows with rows, dimensions and values.
        names: Names of the factors in messages, by default their numbers from 1.

    Returns:
        By name: `dci_disentanglement`, `dci_completeness`, `dci_informativeness`, `mig`, `sap`,
        `modularity`, `infom`, `infoe` and `infoc`. Codes with partitions have DCI ending in
        `_partition` in addition, with importances summed within each partition.

    Raises:
        UserError: The arrays do not have these shapes, a code is not finite, or a factor has one
            value or too many for the rows.
    """
    array = np.asarray(codes)
    partition = None
    if array.ndim == 3:
        partition = np.repeat(np.arange(array.shape[1]), array.shape[2])
        array = array.reshape(len(array), -1)
    array, values = check_arrays(array, factors)
    test_rows = min(len(values) // 3, TEST_ROWS)
    train_rows = min(len(values) - test_rows, TRAIN_ROWS)
    for number, column in enumerate(values.T):
        name = names[number] if names else str(number + 1)
        _check_factor(name, len(np.unique(column)), train_rows)
    rows = shuffled(np.arange(len(values)), seed, "score")
    train, test = rows[:train_rows], rows[train_rows:][:test_rows]
    true = values[train], values[test]
    ours = _scores(array[train], true[0], array[test], true[1], dci_rows, partition)
    best = _scores(true[0], true[0], true[1], true[1], dci_rows)
    return {
        name: MetricScore(
            score,
            best[name.removesuffix("_partition")],
            min(train_rows, dci_rows) if name.startswith("dci_") else train_rows,
            test_rows if name.startswith(("dci_", "sap")) else 0,
        )
        for name, score in ours.items()
    }


def dci_scores(scores: DCI) -> dict[str, float]:
    """Return DCI's scores by name."""
    return {f"dci_{name}": value for name, value in vars(scores).items()}


def quick_scores(
    train: Codes, true_train: Factors, test: Codes, true_test: Factors
) -> dict[str, float]:
    """Return MIG, SAP and modularity by name."""
    return {
        "mig": mig(train, true_train),
        "sap": sap(train, true_train, test, true_test),
        "modularity": modularity(train, true_train),
    }


def _check_factor(name: str, n_values: int, train_rows: int) -> None:
    if n_values < 2:
        raise UserError(f"factors: factor {name} has one value; leave this factor out")
    if n_values * ROWS_PER_VALUE > train_rows:
        raise UserError(
            f"factors: factor {name} has {n_values:,} values, too many for {train_rows:,} train "
            f"rows: each needs {ROWS_PER_VALUE}; give more rows, or group the values"
        )


def _scores(
    train: Codes,
    true_train: Factors,
    test: Codes,
    true_test: Factors,
    dci_rows: int,
    partition: ArrayLike | None = None,
) -> dict[str, float]:
    fitted = fit_importances(train[:dci_rows], true_train[:dci_rows], test, true_test, n_jobs=-1)
    scores = dci_scores(fitted.dci())
    if partition is not None:
        by_partition = dci_scores(fitted.dci(partition))
        scores |= {f"{name}_partition": value for name, value in by_partition.items()}
    scores |= quick_scores(train, true_train, test, true_test)
    return scores | asdict(infomec(train, true_train))
