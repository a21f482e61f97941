"""Draws of the labelled subset: the train images whose factor values the model may use."""

import logging
from collections.abc import Sequence
from typing import Literal

import numpy as np

from weakdis_core.config.config import Config
from weakdis_core.data.variant import UNKNOWN, IndexArray, Variant
from weakdis_core.errors import UserError
from weakdis_core.seeding import numpy_generator

Draw = Literal["even", "random", "combination"]
_ATTEMPTS = 8
_log = logging.getLogger(__name__)


def draw_of(config: Config) -> Draw | Literal["chosen"]:
    """Return the draw of a configuration's labelled subset.

    The monolithic model has a component for each combination, so its even draw is one of these.
    """
    draw = config.data.label_draw
    return "combination" if draw == "even" and config.model.kind == "monolithic" else draw


def labelled_subset(
    factors: IndexArray,
    train: IndexArray,
    size: int,
    n_values: Sequence[int],
    seed: int,
    draw: Draw = "even",
) -> IndexArray:
    """Draw the labelled subset. A smaller one is a prefix of a larger one of the same draw.

    Args:
        factors: Factor values of all prepared images, `(images, factors)`, -1 where unknown.
        train: Rows of the train split.
        size: Number of labelled images; 0 for all that have a label.
        n_values: Number of values of each factor.
        seed: The data seed.
        draw: `random` is uniform. `even` balances the values of every factor as well as `size` and
            the images allow; given that, combinations repeat as little as possible. `combination`
            has one image of each combination in a random order, then a second of each, and so on.

    Returns:
        Rows of the prepared images, `(size,)`, in the order of the draw.

    Raises:
        UserError: `size` exceeds the labelled images of the train split, or is below the number of
            values of a factor that are drawn evenly.
    """
    known = factors[train] != UNKNOWN
    # A picture with an unknown value has no combination.
    train = train[known.all(axis=1) if draw == "combination" else known.any(axis=1)]
    least = max(n_values) if draw == "even" and size else 1
    if not least <= (size or len(train)) <= len(train):
        needs = f"needs at least {least} (the values of its largest factor) and has at most"
        raise UserError(
            f"data.labels: {size} is not allowed: this data "
            f"{needs if least > 1 else 'has from 1 to'} {len(train)} (its train images)"
        )
    generator = numpy_generator(seed, "labels")
    shuffled = generator.permutation(train)
    if draw == "combination":
        shuffled = shuffled[_by_combination(factors[shuffled], n_values, generator)]
    if draw != "even" or not size:
        return np.asarray(shuffled[: size or None])
    pool = _Pool(factors[shuffled], n_values)
    # Drawn row by row, so that a larger subset starts with the same numbers.
    chances = generator.random((size, _ATTEMPTS, len(n_values)))
    return np.asarray(shuffled[[pool.draw(chance) for chance in chances.tolist()]])


def warn_of_missing_values(variant: Variant, factors: IndexArray) -> None:
    """Log a warning for each factor with values that no labelled image `(labels, factors)` has."""
    for factor, column in zip(variant.factors, factors.T, strict=True):
        missing = sorted(set(range(factor.n_values)).difference(column.tolist()))
        if missing:
            names = ", ".join(factor.value_names[value] for value in missing)
            _log.warning(
                "data.labels: none of %d labelled images shows %s %s; scores count these values "
                "as wrong, unless loss.ordered_means infers them from their neighbours",
                len(factors), factor.name, names,
            )  # fmt: skip


def _by_combination(
    factors: IndexArray, n_values: Sequence[int], generator: np.random.Generator
) -> IndexArray:
    """Order images `(images, factors)` by the turns of their combinations.

    One image of each combination comes first, in a random order, then a second of each, and so on.
    """
    flat = np.ravel_multi_index(tuple(factors.T), tuple(n_values))
    place = generator.permutation(np.prod(n_values))[flat]
    by_place = np.argsort(place, kind="stable")
    _, first, count = np.unique(place[by_place], return_index=True, return_counts=True)
    turn = np.empty_like(by_place)
    turn[by_place] = np.arange(len(factors)) - np.repeat(first, count)
    return np.lexsort((place, turn))


class _Pool:
    """Images grouped by their combination of factor values, for balanced draws."""

    def __init__(self, factors: IndexArray, n_values: Sequence[int]) -> None:
        self._values, group = np.unique(factors, axis=0, return_inverse=True)
        members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
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
            if value != UNKNOWN:
                counts[value] += 1
        return int(self._members[chosen].pop())

    def _nearest(self) -> int:
        """Return the combination with images left whose values are rarest, relative to even use."""
        cost = np.zeros(len(self._left))
        for column, counts in enumerate(self._counts):
            # An unknown value, which is -1, costs as much as the most frequent one.
            of_value = np.array([*counts, max(counts)])
            cost += float(len(counts)) * of_value[self._values[:, column]]
        cost[self._left == 0] = np.inf
        return int(cost.argmin())
