"""A data set variant: its factors, nuisance and relations."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weakdis_core.config.description import Kind, Transformation
from weakdis_core.errors import UserError

if TYPE_CHECKING:
    from weakdis_core.relations import RelationTable

IndexArray = NDArray[np.int64]

IMAGE_SIZE = 64
"""Height and width of an image of the shipped variants in pixels."""

OWN = "own"
"""Family of a user's pictures."""

UNKNOWN = -1
"""Factor value and index of a picture without a label."""

ROW = "picture"
"""First axis of the indices of pictures that are no full grid: the place in their source."""


@dataclass(frozen=True)
class Grid:
    """The axes of a data set's indices. In a full factorial grid the last axis varies fastest.

    Attributes:
        axes: Names of the axes.
        sizes: Number of indices of each axis.
    """

    axes: tuple[str, ...]
    sizes: tuple[int, ...]

    def axis(self, name: str) -> int:
        """Return the position of the axis `name`."""
        return self.axes.index(name)


@dataclass(frozen=True)
class Factor:
    """A factor of variation, whose values are bins of the indices of one axis.

    Attributes:
        name: Name of the factor.
        axis: Name of the axis.
        bins: Indices of each factor value.
        names: Names of the values.
        kind: Whether the values have an order.
    """

    name: str
    axis: str
    bins: tuple[tuple[int, ...], ...]
    # They change no image, so the digest of prepared images, which is one of `repr`, ignores them.
    names: tuple[str, ...] = field(default=(), repr=False)
    kind: Kind = field(default="categorical", repr=False)

    @property
    def n_values(self) -> int:
        """Number of values of the factor."""
        return len(self.bins)

    @property
    def value_names(self) -> tuple[str, ...]:
        """Names of the values; without names their indices."""
        return self.names or tuple(map(str, range(self.n_values)))

    @property
    def allowed(self) -> tuple[int, ...]:
        """All indices in a bin, ascending."""
        return tuple(sorted(index for values in self.bins for index in values))

    @cached_property
    def lookup(self) -> IndexArray:
        """Factor value of each index, `UNKNOWN` outside the bins and in the last place."""
        table = np.full(max(self.allowed) + 2, UNKNOWN, dtype=np.int64)
        for value, members in enumerate(self.bins):
            table[list(members)] = value
        return table


@dataclass(frozen=True)
class Nuisance:
    """A grid axis that is no factor; it varies freely over the indices `allowed`."""

    axis: str
    allowed: tuple[int, ...]


@dataclass(frozen=True)
class Relation:
    """A cyclic shift of one factor of variation.

    Attributes:
        name: Its name, such as `move_left`.
        factor: Name of the affected factor.
        shift: Added to the factor's value, modulo the number of values: the connection c_r(v)
            between prior components (Eq. 3).
    """

    name: str
    factor: str
    shift: int


@dataclass(frozen=True)
class Variant:
    """A data set variant: its pictures' factors, nuisance and relations.

    Attributes:
        name: Its name, such as `dsprites_v4`.
        family: Family of the renderer and of the official files; own for a user's pictures.
        channels: Channels of the images (1 grey or binary, 3 RGB).
        grid: Axes of the pictures' indices.
        factors: The factors of variation.
        nuisance: The other axes of the grid.
        relations: The relations to learn.
        size: Height and width of the images in pixels.
        transformations: Changes of an image that keep every label.
        n_images: Number of images.
    """

    name: str
    family: str
    channels: int
    grid: Grid
    factors: tuple[Factor, ...]
    nuisance: tuple[Nuisance, ...]
    relations: tuple[Relation, ...]
    size: int
    transformations: tuple[Transformation, ...]
    n_images: int

    @property
    def n_values(self) -> tuple[int, ...]:
        """Number of values of each factor."""
        return tuple(factor.n_values for factor in self.factors)

    @property
    def orders(self) -> tuple[Kind, ...]:
        """Kind of each factor; a circular one is ordinal if its values cover a part of its axis."""
        sizes = dict(zip(self.grid.axes, self.grid.sizes, strict=True))
        return tuple(
            "ordinal"
            if each.kind == "circular" and len(each.allowed) < sizes[each.axis]
            else each.kind
            for each in self.factors
        )

    @property
    def factor_names(self) -> tuple[str, ...]:
        """Names of the factors."""
        return tuple(factor.name for factor in self.factors)

    @property
    def relation_names(self) -> tuple[str, ...]:
        """Names of the relations."""
        return tuple(relation.name for relation in self.relations)

    @property
    def n_combinations(self) -> int:
        """Number of combinations of factor values (the paper's Table 1)."""
        return math.prod(self.n_values)

    @property
    def is_grid(self) -> bool:
        """Whether the pictures are those of a full grid."""
        return self.grid.axes[0] != ROW

    def indices(self) -> IndexArray:
        """Return the indices of every image of a grid, `(images, axes)`, in grid order."""
        axes: tuple[Factor | Nuisance, ...] = (*self.factors, *self.nuisance)
        allowed = {each.axis: each.allowed for each in axes}
        return np.array(list(product(*(allowed[axis] for axis in self.grid.axes))), dtype=np.int64)

    def values(self, indices: IndexArray) -> IndexArray:
        """Return the factor values `(n, factors)` of images by their indices `(n, axes)`."""
        columns = [
            factor.lookup[indices[:, self.grid.axis(factor.axis)]] for factor in self.factors
        ]
        return np.stack(columns, axis=1)

    def factor(self, name: str) -> int:
        """Return the position of the factor `name`.

        Raises:
            UserError: The variant has no factor of that name.
        """
        return self._place("factor", name, self.factor_names)

    def value(self, factor: str, value: int | str) -> int:
        """Return the index of a factor's value, given by its name or its index.

        Raises:
            UserError: The variant has no such factor, or the factor no such value.
        """
        names = self.factors[self.factor(factor)].value_names
        if value in names:
            return names.index(str(value))
        if str(value) in map(str, range(len(names))):
            return int(value)
        allowed = f"{', '.join(names)} (0 to {len(names) - 1})"
        raise UserError(f"{factor}: {value!r} is not one of {allowed}")

    def relation(self, name: str) -> int:
        """Return the position of the relation `name`.

        Raises:
            UserError: The variant has no relation of that name.
        """
        return self._place("relation", name, self.relation_names)

    def _place(self, kind: str, name: str, names: tuple[str, ...]) -> int:
        if name not in names:
            raise UserError(f"{kind}: {name!r} is not one of {self.name}'s: {', '.join(names)}")
        return names.index(name)

    def relation_table(self, device: str = "cpu") -> RelationTable:
        """Return the relations as tensors on `device`."""
        # Imports torch, which takes a second: help and lists of variants do without.
        from weakdis_core.relations import RelationTable

        return RelationTable(
            [self.factor_names.index(relation.factor) for relation in self.relations],
            [relation.shift for relation in self.relations],
            self.n_values,
            device,
        )
