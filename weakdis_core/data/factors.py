"""Factors of variation on a grid: which grid index belongs to which factor value."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

IndexArray = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """The full factorial grid a data set was rendered on; the last axis varies fastest.

    Attributes:
        axes: Names of the axes, outermost first.
        sizes: Number of grid indices of each axis.
    """

    axes: tuple[str, ...]
    sizes: tuple[int, ...]

    def axis(self, name: str) -> int:
        """Position of the axis called `name`."""
        return self.axes.index(name)


@dataclass(frozen=True)
class Factor:
    """A relevant factor of variation: its values are bins of indices of one grid axis.

    Attributes:
        name: The factor's name.
        axis: The grid axis it lives on.
        bins: For each factor value, the grid indices that carry it. Indices in no bin are left out.
    """

    name: str
    axis: str
    bins: tuple[tuple[int, ...], ...]

    @property
    def n_values(self) -> int:
        """Number of values the factor takes."""
        return len(self.bins)

    @property
    def allowed(self) -> tuple[int, ...]:
        """All grid indices that belong to some value."""
        return tuple(sorted(index for values in self.bins for index in values))

    @cached_property
    def lookup(self) -> IndexArray:
        """Value of each grid index, -1 outside the bins; `(max index + 1,)`."""
        table = np.full(max(self.allowed) + 1, -1, dtype=np.int64)
        for value, members in enumerate(self.bins):
            table[list(members)] = value
        return table


@dataclass(frozen=True)
class Nuisance:
    """A grid axis that varies freely over `allowed` and is no relevant factor."""

    axis: str
    allowed: tuple[int, ...]


def single(indices: range) -> tuple[tuple[int, ...], ...]:
    """Bins of one grid index each."""
    return tuple((index,) for index in indices)
