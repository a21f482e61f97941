"""Variants from descriptions: the shipped ones by name, and those of own pictures."""

from __future__ import annotations

import math
from importlib import resources
from itertools import count

import yaml
from pydantic import ValidationError

from weakdis_core.config.config import describe
from weakdis_core.config.description import Description
from weakdis_core.config.settings import DataSettings
from weakdis_core.data.variant import ROW, Factor, Grid, Nuisance, Relation, Variant
from weakdis_core.errors import UserError


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
