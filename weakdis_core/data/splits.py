"""Splits of the prepared images: train, validation and test."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from weakdis_core.data.prepared import Prepared
from weakdis_core.data.variant import UNKNOWN, IndexArray
from weakdis_core.errors import UserError
from weakdis_core.seeding import numpy_generator

_TRAIN, _VALIDATION = 0.8, 0.1
# Fewer labels of own pictures are split 60/20/20, so that the scores have enough images.
_FEW, _FEW_TRAIN, _FEW_VALIDATION = 5000, 0.6, 0.2


@dataclass(frozen=True, eq=False)
class Splits:
    """Rows of the prepared images in each split, ascending. The splits share no picture.

    Attributes:
        train: Images for training; they contain the labelled subset.
        validation: Images for model selection.
        test: Images for the scores in tables.
    """

    train: IndexArray
    validation: IndexArray
    test: IndexArray


def split(digests: NDArray[np.uint64], seed: int) -> Splits:
    """Split images 80/10/10 at random, those with equal digests `(images,)` into the same split.

    Different grid indices can draw the same picture, whose copy in another split would be a leak.
    """
    group = np.unique(digests, return_inverse=True)[1]
    part = _divide(np.bincount(group), (_TRAIN, _VALIDATION), seed)
    return Splits(*(np.flatnonzero(part[group] == which) for which in range(3)))


def splits_of(prepared: Prepared, seed: int) -> Splits:
    """Split a prepared variant's images by the data seed.

    Raises:
        UserError: The given splits contradict groups or leave a value without a label in train, or
            too few groups are labelled.
    """
    if prepared.source != "own":
        return split(prepared.digests, seed)
    splits = split_labelled(
        prepared.digests, prepared.factors, seed, prepared.groups, prepared.given_split
    )
    for factor, column in zip(
        prepared.variant.factors, prepared.factors[splits.train].T, strict=True
    ):
        if missing := set(range(factor.n_values)).difference(column.tolist()):
            raise UserError(
                f"factors.{factor.name}: {factor.value_names[min(missing)]!r} is not allowed: all "
                "its labels are in validation and test; remove it from the description"
            )
    return splits


def split_labelled(
    digests: NDArray[np.uint64],
    factors: IndexArray,
    seed: int,
    groups: IndexArray | None = None,
    given: IndexArray | None = None,
) -> Splits:
    """Split images of which only some are labelled.

    Labelled images are split 60/20/20 at random (80/10/10 above 5,000), and every factor value
    keeps a label in train, unless all its images are given to other splits. Unlabelled images are
    in train, unless a labelled image of validation or test is equal or in their group; these are in
    no split.

    Args:
        digests: Hash of each image, `(images,)`. Equal images are in the same split.
        factors: Factor values, `(images, factors)`, -1 where unknown.
        seed: The data seed.
        groups: Group of each image, `(images,)`; groups never straddle splits.
        given: 0, 1 or 2 for images that are in train, validation or test in any case, else -1.

    Raises:
        UserError: Equal images or a group are given to two splits, or a split has no labels.
    """
    unit = _units(digests, groups)
    labelled = (factors != UNKNOWN).any(axis=1)
    weights = np.bincount(unit[labelled], minlength=unit.max(initial=0) + 1)
    few = labelled.sum() <= _FEW
    shares = (_FEW_TRAIN, _FEW_VALIDATION) if few else (_TRAIN, _VALIDATION)
    part = np.zeros(len(weights), dtype=np.int64)
    part[weights > 0] = _divide(weights[weights > 0], shares, seed)
    fixed = np.zeros(len(weights), dtype=bool)
    if given is not None:
        _apply_given(part, unit, given)
        fixed[unit[given != UNKNOWN]] = True
    _move_missing_values(part, unit, factors, fixed)
    found = [np.flatnonzero(part[unit] == which) for which in range(3)]
    train, validation, test = found[0], *(rows[labelled[rows]] for rows in found[1:])
    if not (labelled[train].any() and len(validation) and len(test)):
        raise UserError(
            f"labels: {labelled.sum()} labelled pictures are not enough: they are in "
            f"{(weights > 0).sum()} groups (equal pictures are in one), and train, validation and "
            "test need some each"
        )
    return Splits(train, validation, test)


def _divide(weights: IndexArray, shares: tuple[float, float], seed: int) -> IndexArray:
    """Put units of these weights into train (0), validation (1) or test (2) at random."""
    order = numpy_generator(seed, "splits").permutation(len(weights))
    ordered = weights[order]
    # The middle of a unit decides its split, so sizes are as close to the shares as units allow.
    middle = (np.cumsum(ordered) - ordered / 2) / max(weights.sum(), 1)
    part = np.empty(len(weights), dtype=np.int64)
    part[order] = np.searchsorted([shares[0], sum(shares)], middle, side="right")
    return part


def _units(digests: NDArray[np.uint64], groups: IndexArray | None) -> IndexArray:
    """Return for each image the number of its unit: images that are equal or in one group."""
    unit = np.unique(digests, return_inverse=True)[1]
    if groups is None:
        return np.asarray(unit, np.int64)
    group = np.unique(groups, return_inverse=True)[1]
    size = unit.max(initial=0) + group.max(initial=0) + 2
    edges = coo_array((np.ones(len(unit)), (unit, unit.max(initial=0) + 1 + group)), (size, size))
    _, joined = connected_components(edges, directed=False)
    return np.unique(joined[unit], return_inverse=True)[1].astype(np.int64)


def _move_missing_values(
    part: IndexArray, unit: IndexArray, factors: IndexArray, fixed: NDArray[np.bool_]
) -> None:
    """Move a unit that is not fixed into train for each factor value without a label there."""
    sizes = np.bincount(unit)
    for column in factors.T:
        in_train = np.unique(column[part[unit] == 0])
        for value in np.setdiff1d(np.unique(column[column != UNKNOWN]), in_train):
            holding = np.unique(unit[column == value])
            holding = holding[~fixed[holding]]
            part[holding[sizes[holding].argsort()[:1]]] = 0


def _apply_given(part: IndexArray, unit: IndexArray, given: IndexArray) -> None:
    """Put units into the splits that their images were given."""
    for which in range(3):
        part[unit[given == which]] = which
    wrong = (given != UNKNOWN) & (part[unit] != given)
    if wrong.any():
        raise UserError(
            "split: equal pictures, or those of one group, are not allowed in two splits: "
            f"{wrong.sum():,} of {len(unit):,} pictures are"
        )


def shuffled(index: NDArray[np.int64], seed: int, name: str) -> NDArray[np.int64]:
    """Shuffle the rows of the split `name`, so that its first images are a random sample."""
    return numpy_generator(seed, f"order/{name}").permutation(index)
