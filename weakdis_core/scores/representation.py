"""Disentanglement metrics of any representation, and the rows that they receive."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from weakdis_core.data.splits import shuffled
from weakdis_core.errors import UserError
from weakdis_core.metrics.ceilings import TEST_ROWS, TRAIN_ROWS
from weakdis_core.metrics.dci import fit_importances
from weakdis_core.metrics.mutual_information import infomec, mig, modularity
from weakdis_core.metrics.separability import sap
from weakdis_core.metrics.validation import Codes, Factors, check_arrays

_ROWS_PER_VALUE = 10

Split = tuple[Codes, Factors, Codes, Factors]
"""Codes and factor values of train, then of test."""


class MetricScore(NamedTuple):
    """A score of a representation, NaN where undefined, and that of the true values as codes."""

    codes: float
    true_values: float
    train_rows: int
    test_rows: int


def score_representation(
    codes: ArrayLike,
    factors: ArrayLike,
    names: Sequence[str],
    seed: int,
    dci_rows: int = TRAIN_ROWS,
) -> dict[str, MetricScore]:
    """Score a representation by the protocol of disentanglement_lib.

    Two thirds of the rows are train, at most 10,000, and one third is test, at most 5,000.

    Args:
        codes: `(n, dimensions)` or `(n, partitions, latent)`.
        factors: `(n, k)` factor values from 0.
        names: Names of the factors.
        seed: Seed of the draw of rows.
        dci_rows: Train rows of DCI, at most.

    Returns:
        By name, the scores of `metric_scores`.

    Raises:
        UserError: The arrays do not have these shapes, a code is not finite, or a factor has one
            value or too many for the rows.
    """
    array, partition = np.asarray(codes), None
    if array.ndim == 3:
        partition = np.repeat(np.arange(array.shape[1]), array.shape[2])
        array = array.reshape(len(array), len(partition))
    array, values = check_arrays(array, factors)
    n_test = min(len(values) // 3, TEST_ROWS)
    n_train = min(len(values) - n_test, TRAIN_ROWS)
    for name, column in zip(names, values.T, strict=True):
        if (count := len(np.unique(column))) < 2:
            raise UserError(f"factors: factor {name} has fewer than two values; leave it out")
        if count * _ROWS_PER_VALUE > n_train:
            raise UserError(
                f"factors: factor {name} has {count:,} values, too many for {n_train:,} train "
                f"rows: each needs {_ROWS_PER_VALUE}; give more rows, or group the values"
            )
    rows = shuffled(np.arange(len(values)), seed, "score")
    train, test = rows[:n_train], rows[n_train:][:n_test]

    def scored(codes: Codes, partition: ArrayLike | None = None) -> dict[str, float]:
        arrays = codes[train], values[train], codes[test], values[test]
        return metric_scores(arrays, dci_rows, partition)

    ceiling = scored(values)
    return {
        name: MetricScore(
            score,
            ceiling[name.removesuffix("_partition")],
            min(n_train, dci_rows) if name.startswith("dci_") else n_train,
            n_test if name.startswith(("dci_", "sap")) else 0,
        )
        for name, score in scored(array, partition).items()
    }


def metric_scores(
    arrays: Split, dci_rows: int = TRAIN_ROWS, partition: ArrayLike | None = None, threads: int = -1
) -> dict[str, float]:
    """Compute DCI, on at most `dci_rows` train rows, MIG, SAP, modularity and InfoMEC.

    Returns:
        `dci_disentanglement`, `dci_completeness`, `dci_informativeness`, `mig`, `sap`,
        `modularity`, `infom`, `infoe` and `infoc`. The partition of each dimension adds DCI by
        partition, ending in `_partition`.
    """
    train, true_train, test, true_test = arrays
    fitted = fit_importances(train[:dci_rows], true_train[:dci_rows], test, true_test, threads)
    scores = {f"dci_{name}": value for name, value in vars(fitted.dci()).items()}
    if partition is not None:
        summed = vars(fitted.dci(partition))
        scores |= {f"dci_{name}_partition": value for name, value in summed.items()}
    return scores | {
        "mig": mig(train, true_train),
        "sap": sap(train, true_train, test, true_test),
        "modularity": modularity(train, true_train),
        **infomec(train, true_train),
    }
