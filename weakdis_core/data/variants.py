"""Data set variants: grids, factors of variation, nuisance, and the declarations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from weakdis_core.errors import UserError

if TYPE_CHECKING:
    from weakdis_core.relations import RelationTable

IndexArray = NDArray[np.int64]
Family = Literal["dsprites", "shapes3d"]


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


GRIDS: dict[str, Grid] = {
    "dsprites": Grid(("shape", "scale", "orientation", "posX", "posY"), (3, 6, 40, 32, 32)),
    "shapes3d": Grid(
        ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"),
        (10, 10, 10, 8, 4, 15),
    ),
}


@dataclass(frozen=True)
class Factor:
    """A factor of variation, whose values are bins of the indices of one grid axis.

    Attributes:
        name: Name of the factor.
        axis: Name of the grid axis.
        bins: Grid indices of each factor value. Images of other indices are left out.
        names: Names of the values; empty if they have none.
    """

    name: str
    axis: str
    bins: tuple[tuple[int, ...], ...]
    # Names change no image, so the digest of prepared images, which is one of `repr`, ignores them.
    names: tuple[str, ...] = field(default=(), repr=False)

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
    """A data set variant: factors, nuisance and relations on the grid of a family.

    Attributes:
        name: Its name, such as `dsprites_v4`.
        family: Family of the grid, the renderer and the official files.
        channels: Channels of the images (1 binary, 3 RGB).
        factors: The factors of variation.
        nuisance: The other axes of the grid.
        relations: The relations to learn.
    """

    name: str
    family: Family
    channels: int
    factors: tuple[Factor, ...]
    nuisance: tuple[Nuisance, ...]
    relations: tuple[Relation, ...]

    @property
    def grid(self) -> Grid:
        """Grid of the family."""
        return GRIDS[self.family]

    @property
    def n_values(self) -> tuple[int, ...]:
        """Number of values of each factor."""
        return tuple(factor.n_values for factor in self.factors)

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
    def n_images(self) -> int:
        """Number of images of the variant."""
        return math.prod(map(len, self._allowed.values()))

    @property
    def _allowed(self) -> dict[str, tuple[int, ...]]:
        axes: tuple[Factor | Nuisance, ...] = (*self.factors, *self.nuisance)
        return {each.axis: each.allowed for each in axes}

    def indices(self) -> IndexArray:
        """Return the grid indices of every image, `(images, axes)`, in grid order."""
        allowed = self._allowed
        return np.array(list(product(*(allowed[axis] for axis in self.grid.axes))), dtype=np.int64)

    def values(self, indices: IndexArray) -> IndexArray:
        """Return the factor values `(n, factors)` of images by grid indices `(n, axes)`."""
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


def _pair(factor: str, forward: str, back: str) -> tuple[Relation, Relation]:
    return Relation(forward, factor, 1), Relation(back, factor, -1)


_CHANNELS = {"dsprites": 1, "shapes3d": 3}

_RELATIONS = (
    Relation("change_shape", "shape", 1),
    *_pair("posX", "move_right", "move_left"),
    *_pair("posY", "move_down", "move_up"),
    *_pair("object_hue", "object_hue_up", "object_hue_down"),
    *_pair("scale", "bigger", "smaller"),
    *_pair("orientation", "rotate_left", "rotate_right"),
    *_pair("floor_hue", "floor_hue_up", "floor_hue_down"),
    *_pair("wall_hue", "wall_hue_up", "wall_hue_down"),
)

_SHAPES: dict[Family, tuple[str, ...]] = {
    "dsprites": ("square", "ellipse", "heart"),
    "shapes3d": ("cube", "cylinder", "ball", "capsule"),
}
_THIRDS = (tuple(range(5)), tuple(range(13, 18)), tuple(range(27, 32)))
_HUES = tuple(range(10))

_BINS: dict[Family, dict[str, tuple[tuple[int, ...], ...]]] = {
    "dsprites": {
        "shape": single(range(3)),
        "posX": _THIRDS,
        "posY": _THIRDS,
        "scale": single(range(1, 6)),
        # Below a quarter turn, the orientations of a square are distinct.
        "orientation": single(range(8)),
    },
    "shapes3d": {
        "object_hue": single(_HUES),
        "shape": single(range(4)),
        "scale": ((0, 1), (3, 4), (6, 7)),
        "floor_hue": single(_HUES),
        "wall_hue": single(_HUES),
    },
}

# Orientation 39 draws the same picture as 0 (linspace with both ends), so no variant has it.
_UPRIGHT = Nuisance("orientation", (0, 1, 2, 37, 38))
_MIDDLE_SCALES = Nuisance("scale", (2, 3, 4))
_FLOORS, _WALLS = Nuisance("floor_hue", _HUES), Nuisance("wall_hue", _HUES)
_SCALES = Nuisance("scale", tuple(range(8)))
_TURNS = Nuisance("orientation", tuple(range(15)))


def _variant(name: str, family: Family, factors: str, *nuisance: Nuisance) -> Variant:
    """Declare a variant by the names of its factors, with all relations of these."""
    names = factors.split()
    return Variant(
        name,
        family,
        _CHANNELS[family],
        tuple(
            Factor(each, each, _BINS[family][each], _SHAPES[family] if each == "shape" else ())
            for each in names
        ),
        nuisance,
        tuple(relation for relation in _RELATIONS if relation.factor in names),
    )


VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        _variant("dsprites_v2", "dsprites", "shape posX posY", _MIDDLE_SCALES, _UPRIGHT),
        _variant("dsprites_v3", "dsprites", "shape posX posY scale", _UPRIGHT),
        _variant("dsprites_v4", "dsprites", "shape posX posY scale orientation"),
        _variant("shapes3d_v2", "shapes3d", "object_hue shape", _FLOORS, _WALLS, _SCALES, _TURNS),
        _variant("shapes3d_v3", "shapes3d", "object_hue shape scale", _FLOORS, _WALLS, _TURNS),
        _variant("shapes3d_v5", "shapes3d", "object_hue shape scale floor_hue wall_hue", _TURNS),
    )
}


def get_variant(name: str) -> Variant:
    """Return the variant `name`.

    Raises:
        UserError: No variant has that name.
    """
    if name not in VARIANTS:
        raise UserError(f"variant: {name!r} is not one of {', '.join(VARIANTS)}")
    return VARIANTS[name]
