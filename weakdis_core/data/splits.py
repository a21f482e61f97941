"""Splits of the prepared images: train, validation and test, and the labelled subset of train."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakdis_core.data.variants import IndexArray
from weakdis_core.errors import UserError
from weakdis_core.seeding import numpy_generator

_TRAIN, _VALIDATION = 0.8, 0.1
_ATTEMPTS = 8


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
    pictures, group = np.unique(digests, return_inverse=True)
    order = numpy_generator(seed, "splits").permutation(len(pictures))
    copies = np.bincount(group, minlength=len(pictures))[order]
    # The middle of a group decides its split, so sizes are as close to 80/10/10 as groups allow.
    middle = (np.cumsum(copies) - copies / 2) / max(len(digests), 1)
    part = np.empty(len(pictures), dtype=np.int64)
    part[order] = np.searchsorted([_TRAIN, _TRAIN + _VALIDATION], middle, side="right")
    return Splits(*(np.flatnonzero(part[group] == which) for which in range(3)))


def shuffled(index: NDArray[np.int64], seed: int, name: str) -> NDArray[np.int64]:
    """Shuffle the rows of the split `name`, so that its first images are a random sample."""
    return numpy_generator(seed, f"order/{name}").permutation(index)


def labelled_subset(
    factors: IndexArray, train: IndexArray, size: int, n_values: Sequence[int], seed: int
) -> IndexArray:
    """Draw the labelled subset: train images whose factor values the model may use.

    The values of every factor are balanced as well as `size` and the images allow; given that,
    combinations repeat as little as possible. A smaller subset is a prefix of a larger one.

    Args:
        factors: Factor values of all prepared images, `(images, factors)`.
        train: Rows of the train split.
        size: Number of labelled images.
        n_values: Number of values of each factor.
        seed: The data seed.

    Returns:
        Rows of the prepared images, `(size,)`, in the order of the draw.

    Raises:
        UserError: `size` is below the number of values of a factor, or exceeds the train split.
    """
    least = max(n_values)
    if not least <= size <= len(train):
        raise UserError(
            f"data.labels: {size} is not allowed: this data needs at least {least} (the values of "
            f"its largest factor) and has at most {len(train)} (its train images)"
        )
    generator = numpy_generator(seed, "labels")
    shuffled = generator.permutation(train)
    pool = _Pool(factors[shuffled], n_values)
    # Drawn row by row, so that a larger subset starts with the same numbers.
    chances = generator.random((size, _ATTEMPTS, len(n_values)))
    return shuffled[[pool.draw(chance) for chance in chances.tolist()]]


def labelled_by_combination(
    factors: IndexArray, train: IndexArray, size: int, n_values: Sequence[int], seed: int
) -> IndexArray:
    """Draw a labelled subset with as many combinations of factor values as `size` allows.

    It has one image of each combination in a random order, then a second of each, and so on. A
    smaller subset is a prefix of a larger one. Arguments and result are those of `labelled_subset`.

    Raises:
        UserError: `size` exceeds the train split.
    """
    if not 1 <= size <= len(train):
        raise UserError(
            f"data.labels: {size} is not allowed: this data has from 1 to {len(train)} "
            "(its train images)"
        )
    generator = numpy_generator(seed, "labels")
    shuffled = generator.permutation(train)
    flat = np.ravel_multi_index(tuple(factors[shuffled].T), tuple(n_values))
    place = generator.permutation(np.prod(n_values))[flat]
    by_place = np.argsort(place, kind="stable")
    _, first, count = np.unique(place[by_place], return_index=True, return_counts=True)
    turn = np.empty_like(by_place)
    turn[by_place] = np.arange(len(train)) - np.repeat(first, count)
    return np.asarray(shuffled[np.lexsort((place, turn))[:size]])


class _Pool:
    """Images grouped by their combination of factor values, for balanced draws."""

    def __init__(self, factors: IndexArray, n_values: Sequence[int]) -> None:
        flat = np.ravel_multi_index(tuple(factors.T), tuple(n_values))
        _, first, group = np.unique(flat, return_index=True, return_inverse=True)
        members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
        self._values = factors[first]
        self._members = [rows.tolist() for rows in members]
        self._left = np.array([len(rows) for rows in members])
        self._drawn = [0] * len(members)
        self._group = {tuple(values): row for row, values in enumerate(self._values.tolist())}
        self._counts = [[0] * n for n in n_values]

    def draw(self, attempts: Sequence[Sequence[float]]) -> int:
        """Draw an image and return its position.

        Each attempt combines a rarest value of every factor. The combination with the fewest draws
        wins, or `_nearest` if none has an image left.
        """
        rarest = [
            [value for value, count in enumerate(counts) if count == lowest]
            for counts, lowest in zip(self._counts, map(min, self._counts), strict=True)
        ]
        found = []
        for chances in attempts:
            pairs = zip(rarest, chances, strict=True)
            target = tuple(values[int(chance * len(values))] for values, chance in pairs)
            group = self._group.get(target)
            if group is not None and self._left[group]:
                found.append(group)
                if not self._drawn[group]:
                    break
        chosen = min(found, key=self._drawn.__getitem__) if found else self._nearest()
        self._left[chosen] -= 1
        self._drawn[chosen] += 1
        for counts, value in zip(self._counts, self._values[chosen].tolist(), strict=True):
            counts[value] += 1
        return int(self._members[chosen].pop())

    def _nearest(self) -> int:
        """Return the combination with images left whose values are rarest, relative to even use."""
        cost = np.zeros(len(self._left))
        for column, counts in enumerate(self._counts):
            cost += float(len(counts)) * np.array(counts)[self._values[:, column]]
        cost[self._left == 0] = np.inf
        return int(cost.argmin())
