"""A first description of an own data set: factors guessed from the columns of its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import yaml

from weakdis_core.config.description import Description, FactorDescription, Kind
from weakdis_core.data.own_pictures.labels import Columns, split_indices
from weakdis_core.errors import UserError

LEAST_LABELS = 3
"""Fewest labels of a value: one each for train, validation and test."""

_MOST_VALUES = 50
_LABELS_PER_VALUE = 5
_CIRCULAR = ("hue", "angle", "orientation", "rotation", "azimuth", "direction")


@dataclass(frozen=True)
class Guess:
    """Factors guessed from labels.

    Attributes:
        factors: The factors by name.
        nuisance: Columns that are no factors.
        notes: Sentences about what was left out.
    """

    factors: dict[str, FactorDescription] = field(default_factory=dict)
    nuisance: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def guess_factors(columns: Columns, nuisance: Sequence[str], split: str = "") -> Guess:
    """Guess the factors of label columns.

    Numbers are ordinal, or circular under names such as hue; words are categorical. Columns with
    too many values become nuisance. Values with too few labels are left out, and those that the
    column `split` gives to validation and test only.

    Raises:
        UserError: A column has one value, or none is left.
    """
    guess = Guess(nuisance=list(nuisance))
    held_out = split_indices(columns[split]) > 0 if split else None
    for name, cells in columns.items():
        if name in nuisance or name == split:
            continue
        counts = Counter(cell for cell in cells if cell)
        if len(counts) > min(_MOST_VALUES, max(2, counts.total() // _LABELS_PER_VALUE)):
            guess.nuisance.append(name)
            guess.notes.append(
                f"{name}: {len(counts):,} values for {counts.total():,} labels are too many for a "
                "factor; list ranges of them as its values in the description"
            )
            continue
        rare = [cell for cell, count in counts.items() if count < LEAST_LABELS]
        seen = counts if held_out is None else set(np.array(cells)[~held_out])
        unseen = [cell for cell in counts if cell not in seen and cell not in rare]
        kept = _in_order([cell for cell in counts if cell not in (*rare, *unseen)])
        if len(kept) < 2:
            found = ", ".join(f"{cell!r} ({count})" for cell, count in counts.most_common(3))
            raise UserError(
                f"labels: column {name!r} is not allowed as a factor: two values with "
                f"{LEAST_LABELS} labels or more, some in train, are needed, "
                f"found {found or 'no label'}; --nuisance {name} leaves it out"
            )
        if rare:
            guess.notes.append(
                f"{name}: {', '.join(rare)} left out, with fewer than {LEAST_LABELS} labels each"
            )
        if unseen:
            guess.notes.append(f"{name}: {', '.join(unseen)} left out, without a label in train")
        guess.factors[_identifier(name)] = FactorDescription(
            kind=guess_kind(name, kept),
            values={each: (each,) for each in kept},
            column=None if _identifier(name) == name else name,
        )
    if not guess.factors:
        raise UserError("labels: no column is left as a factor")
    return guess


def guess_kind(name: str, values: Sequence[str]) -> Kind:
    """Guess the kind of a factor by its name and its values."""
    if len(values) < 3 or not all(map(_is_number, values)):
        return "categorical"
    return "circular" if any(word in name.lower() for word in _CIRCULAR) else "ordinal"


def write_yaml(description: Description) -> str:
    """Return the text of a description's file."""
    head = (
        f"# Description of the pictures {description.name}. Edit it, then use --variant "
        f"{description.name}.\n"
        "# Kinds: categorical, ordinal (in the order of the values), circular (the first follows "
        "the last).\n"
        "# A value may stand for several cells: values: {left: [0, 1, 2], right: [3, 4, 5]}.\n"
        "# Transformations that keep every label (training uses them): shift, zoom, flip, noise.\n"
    )
    content = description.model_dump(
        mode="json", exclude={"digest", "pictures", "labelled", "family"}
    )
    content["factors"] = {name: _plain(each) for name, each in description.factors.items()}
    content["relations"] = {name: _Flow(each) for name, each in description.relations.items()}
    content["nuisance"] = _Flow(description.nuisance)
    content["transformations"] = _Flow(description.transformations)
    content["grid"] = dict(description.grid)
    kept = {key: each for key, each in content.items() if each or key in _ALWAYS}
    return head + yaml.dump(kept, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


_ALWAYS = ("transformations", "licence", "citation")


class _Flow(list[Any]):
    """A list that YAML writes in one line."""


class _Dumper(yaml.SafeDumper):
    """Writes `_Flow` in one line."""


_Dumper.add_representer(
    _Flow, lambda dumper, each: dumper.represent_sequence("tag:yaml.org,2002:seq", each, True)
)


def _plain(factor: FactorDescription) -> dict[str, Any]:
    values: Any = _Flow(factor.values)
    if any(cells != (name,) for name, cells in factor.values.items()):
        values = {name: _Flow(cells) for name, cells in factor.values.items()}
    plain = {"kind": factor.kind, "values": values}
    return plain | ({"column": factor.column} if factor.column else {})


def _in_order(cells: list[str]) -> list[str]:
    return sorted(cells, key=float) if all(map(_is_number, cells)) else sorted(cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _identifier(name: str) -> str:
    letters = "".join(each if each.isascii() and each.isalnum() else "_" for each in name)
    return letters if letters[:1].isalpha() or letters[:1] == "_" else f"_{letters}"
