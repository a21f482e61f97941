"""Data set variants: their factors, nuisance and relations, built from descriptions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from itertools import count, product
from typing import TYPE_CHECKING

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from weakdis_core.config.config import describe
from weakdis_core.config.description import Description, Kind, Transformation
from weakdis_core.config.settings import DataSettings
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


def build_variant(description: Description) -> Variant:
    """Build the variant that a description declares."""
    nuisance: tuple[Nuisance, ...] = ()
    if description.grid:
        grid = Grid(tuple(description.grid), tuple(description.grid.values()))
        axes = {each.column or name for name, each in description.factors.items()}
        others = {axis: () for axis in grid.axes if axis not in axes} | description.nuisance
        nuisance = tuple(
            Nuisance(axis, allowed or tuple(range(description.grid[axis])))
            for axis, allowed in others.items()
        )
    factors = tuple(_factors(description))
    if not description.grid:
        sizes = (description.pictures, *(sum(map(len, factor.bins)) for factor in factors))
        grid = Grid((ROW, *(factor.axis for factor in factors)), sizes)
    used: tuple[Factor | Nuisance, ...] = (*factors, *nuisance)
    counts = [len(each.allowed) for each in used] if description.grid else [description.pictures]
    relations = description.relations or default_relations(description)
    return Variant(
        description.name,
        description.family,
        description.channels,
        grid,
        factors,
        nuisance,
        tuple(Relation(name, *each) for name, each in relations.items()),
        description.size,
        description.transformations,
        math.prod(counts),
    )


def default_relations(description: Description) -> dict[str, tuple[str, int]]:
    """Return the relations of a description without any: to the next and to the previous value."""
    found = {}
    for name, factor in description.factors.items():
        found[f"{name}_next"] = (name, 1)
        if factor.kind != "categorical":
            found[f"{name}_previous"] = (name, -1)
    return found


def variant_of(data: DataSettings) -> Variant:
    """Return the variant of settings: a shipped one, or that of an own description.

    Raises:
        UserError: No variant has that name.
    """
    return (
        get_variant(data.variant) if data.description is None else build_variant(data.description)
    )


def get_variant(name: str) -> Variant:
    """Return the shipped variant `name`.

    Raises:
        UserError: No variant has that name.
    """
    if name not in VARIANTS:
        raise UserError(f"variant: {name!r} is not one of {', '.join(VARIANTS)}")
    return VARIANTS[name]


def read_description(text: str, name: str) -> Description:
    """Read a description from YAML text; `name` stands in messages.

    Raises:
        UserError: The text is not YAML, or a field is not allowed.
    """
    try:
        content = yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{name}: cannot be read as YAML ({reason})") from None
    if not isinstance(content, dict):
        raise UserError(f"{name}: found no description, expected a mapping")
    try:
        return Description.model_validate(content)
    except ValidationError as error:
        raise UserError(
            "\n".join(f"{name}: {line}" for line in describe(error).split("\n"))
        ) from None


def published_descriptions() -> dict[str, str]:
    """Return the texts of the shipped descriptions of published data sets, by name."""
    files = (resources.files("weakdis_core.data") / "published").iterdir()
    return {each.name.removesuffix(".yaml"): each.read_text(encoding="utf-8") for each in files}


def _factors(description: Description) -> list[Factor]:
    factors = []
    for name, each in description.factors.items():
        cells = each.values.values()
        number = count()
        bins = tuple(
            tuple(int(cell) if description.grid else next(number) for cell in members)
            for members in cells
        )
        factors.append(Factor(name, each.column or name, bins, tuple(each.values), each.kind))
    return factors


def _shipped() -> dict[str, Variant]:
    folder = resources.files("weakdis_core.data") / "descriptions"
    files = sorted((each for each in folder.iterdir()), key=lambda each: each.name)
    found = [read_description(each.read_text(encoding="utf-8"), each.name) for each in files]
    return {each.name: build_variant(each) for each in found if each.family != "own"}


VARIANTS: dict[str, Variant] = _shipped()
"""The shipped variants by name."""
