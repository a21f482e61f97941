"""Factors of variation: the mapping from grid indices to factor values."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

IndexArray = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """The full factorial grid of a data set; the last axis varies fastest.

    Attributes:
        axes: Names of the axes.
        sizes: Number of grid indices of each axis.
    """

    axes: tuple[str, ...]
    sizes: tuple[int, ...]

    def axis(self, name: str) -> int:
        """Return the position of the axis `name`."""
        return self.axes.index(name)


@dataclass(frozen=True)
class Factor:
    """A factor of variation, whose values are bins of the indices of one grid axis.

    Attributes:
        name: Name of the factor.
        axis: Name of the grid axis.
        bins: Grid indices of each factor value. Images of other indices are left out.
    """

    name: str
    axis: str
    bins: tuple[tuple[int, ...], ...]

    @property
    def n_values(self) -> int:
        """Number of values of the factor."""
        return len(self.bins)

    @property
    def allowed(self) -> tuple[int, ...]:
        """All grid indices in a bin, ascending."""
        return tuple(sorted(index for values in self.bins for index in values))

    @cached_property
    def lookup(self) -> IndexArray:
        """Factor value of each grid index, -1 outside the bins, `(max index + 1,)`."""
        table = np.full(max(self.allowed) + 1, -1, dtype=np.int64)
        for value, members in enumerate(self.bins):
            table[list(members)] = value
        return table


@dataclass(frozen=True)
class Nuisance:
    """A grid axis that is no factor; it varies freely over the indices `allowed`."""

    axis: str
    allowed: tuple[int, ...]


def single(indices: Iterable[int]) -> tuple[tuple[int, ...], ...]:
    """Return bins of one grid index each."""
    return tuple((index,) for index in indices)
