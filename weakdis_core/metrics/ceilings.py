"""What the best possible codes score on a variant: no metric's ceiling is 1 by itself.

`mig_ceiling`, `sap_ceiling` and `dci_ceiling` take a variant or its name, and raise UserError where
there is none of that name.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from weakdis_core.data.variants import IndexArray, Variant, get_variant
from weakdis_core.metrics.dci import dci
from weakdis_core.metrics.mutual_information import mig
from weakdis_core.metrics.separability import sap
from weakdis_core.seeding import numpy_generator

TRAIN_ROWS = 10_000
"""Train rows of the published protocol: the most that disentanglement metrics are given."""

TEST_ROWS = 5_000
"""Test rows of the published protocol."""

RAW_ROWS = 2_000
"""Train rows, at most, of DCI, whose cost grows with them where codes have many dimensions: on 48
of them and the 37 values of shapes3d_v5 about 40 core-seconds for every 1,000."""

_DRAWS = 10


def mig_ceiling(variant: Variant | str) -> float:
    """MIG of perfect codes, the factor values themselves.

    Mean over draws of as many train images as the protocol gives.
    """
    return float(np.mean([mig(train, train) for train, _ in _draws(variant)]))


def sap_ceiling(variant: Variant | str) -> float:
    """SAP of perfect codes, the 0-based factor values themselves.

    Mean over draws of as many train and test images as the protocol gives.

    Published values above it were measured in another way and are not comparable. It is a mean
    because a perfect code's SAP hangs on the draw: where values are equally frequent, the lines of
    two of them meet just at a third, and chance decides whether that one is ever predicted. On
    dsprites_v4 most draws give 0.56 to 0.57 and every fifth 0.60 to 0.61. The score of a model is
    to be compared with that of the factor values on its own rows.
    """
    return float(np.mean([sap(train, train, test, test) for train, test in _draws(variant)]))


def dci_ceiling(variant: Variant | str) -> float:
    """DCI's disentanglement of perfect codes on `RAW_ROWS` train images.

    Of one draw: perfect codes are separable on any.
    """
    train, test = next(_draws(variant))
    train = train[:RAW_ROWS]
    return dci(train, train, test, test).disentanglement


def identifiability_ceiling(digests: ArrayLike, factors: ArrayLike) -> float:
    """The best joint factor accuracy that images allow.

    Equal pictures with different factor values can be read as one of them only: the best reader
    answers with the most frequent combination of values of each picture. Digests `(n,)` and factor
    values `(n, k)` are those of `Prepared`.

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


def _draws(variant: Variant | str) -> Iterator[tuple[IndexArray, IndexArray]]:
    """Factor values of as many train and test images as the protocol gives, the same each time."""
    if isinstance(variant, str):
        variant = get_variant(variant)
    factors = variant.values(variant.indices())
    # Shares of the splits; more images than the default max_images change nothing here.
    train, test = min(TRAIN_ROWS, 8 * len(factors) // 10), min(TEST_ROWS, len(factors) // 10)
    generator = numpy_generator(0, f"ceilings/{variant.name}")
    for _ in range(_DRAWS):
        rows = generator.choice(len(factors), train + test, replace=False)
        yield factors[rows[:train]], factors[rows[train:]]
