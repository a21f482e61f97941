"""The scores of the best possible codes on a variant.

Functions of a variant raise UserError if none has the given name.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from weakdis_core.data.variant import IndexArray
from weakdis_core.data.variants import get_variant
from weakdis_core.metrics.dci import fit_importances
from weakdis_core.metrics.mutual_information import infomec, mig
from weakdis_core.metrics.separability import sap
from weakdis_core.seeding import numpy_generator

TRAIN_ROWS = 10_000
"""Train rows of the published protocol: the most that disentanglement metrics receive."""

TEST_ROWS = 5_000
"""Test rows of the published protocol."""

RAW_ROWS = 2_000
"""Train rows, at most, of DCI on many code dimensions: 48 of them and the 37 values of shapes3d_v5
take about 40 core-seconds for every 1,000 rows."""

_DRAWS = 10


def mig_ceiling(variant: str) -> float:
    """Return the MIG of factor values as codes, mean over draws of images."""
    return float(np.mean([mig(train, train) for train, _ in _draws(variant)]))


def sap_ceiling(variant: str) -> float:
    """Return the SAP of 0-based factor values as codes, mean over draws of images.

    Draws differ, because the lines of two equally frequent values meet at a third value, and chance
    decides whether the classifier ever predicts it: on dsprites_v4 most draws give 0.56 to 0.57 and
    every fifth 0.60 to 0.61. Compare a model's score with that of true values on its own rows.
    """
    return float(np.mean([sap(train, train, test, test) for train, test in _draws(variant)]))


def dci_ceiling(variant: str) -> float:
    """Return DCI's disentanglement of factor values as codes, on `RAW_ROWS` rows of one draw."""
    train, test = next(_draws(variant))
    train = train[:RAW_ROWS]
    return fit_importances(train, train, test, test).dci().disentanglement


def infomec_ceiling(variant: str) -> dict[str, float]:
    """Return InfoM, InfoE and InfoC of factor values as codes, on one draw of images."""
    train, _ = next(_draws(variant))
    return infomec(train, train)


def identifiability_ceiling(digests: ArrayLike, factors: ArrayLike) -> float:
    """Return the best joint factor accuracy that images allow.

    Equal pictures, by their digests `(n,)`, may have different factor values `(n, k)`. The best
    answer is then the most frequent combination.

    Returns:
        In (0, 1]; NaN without images.
    """
    _, picture = np.unique(np.asarray(digests), return_inverse=True)
    labelled = np.column_stack([picture, np.asarray(factors)])
    if not len(labelled):
        return float("nan")
    rows, counts = np.unique(labelled, axis=0, return_counts=True)
    most = np.zeros(picture.max() + 1, dtype=np.int64)
    np.maximum.at(most, rows[:, 0], counts)
    return float(most.sum() / len(labelled))


def _draws(name: str) -> Iterator[tuple[IndexArray, IndexArray]]:
    """Yield factor values of as many train and test images as the protocol allows."""
    variant = get_variant(name)
    factors = variant.values(variant.indices())
    # The shares of the splits, of all images of the grid.
    train, test = min(TRAIN_ROWS, 8 * len(factors) // 10), min(TEST_ROWS, len(factors) // 10)
    generator = numpy_generator(0, f"ceilings/{name}")
    for _ in range(_DRAWS):
        rows = generator.choice(len(factors), train + test, replace=False)
        yield factors[rows[:train]], factors[rows[train:]]
