"""The description of a data set: where its pictures and labels are, and what its factors are."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Kind = Literal["categorical", "ordinal", "circular"]
Transformation = Literal["shift", "zoom", "flip", "noise"]

_TAKEN = ("absent", "accepted", "affected")


def _named_cells(values: Any) -> Any:
    """Return the cells of each value by its name; a list has one cell for each value."""
    if isinstance(values, list | tuple):
        names = [str(each) for each in values]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"{twice[0]} stands twice in it")
        return {name: (name,) for name in names}
    if isinstance(values, dict):
        return {
            str(name): tuple(map(str, cells)) if isinstance(cells, list | tuple) else (str(cells),)
            for name, cells in values.items()
        }
    return values


def _check_name(field: str, name: str) -> None:
    """Check a name, which becomes a part of the names of scores and of Python arguments."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(
            f"{field}: {name!r} is not allowed: letters, digits and _, no digit first (a factor's "
            "column may have another name)"
        )
    if name in _TAKEN:
        raise ValueError(f"{field}: {name!r} is not allowed: scores have this name")


def _every_index(nuisance: Any) -> Any:
    return {str(name): () for name in nuisance} if isinstance(nuisance, list | tuple) else nuisance


class Part(BaseModel):
    """Base class of the parts of a description: immutable, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FactorDescription(Part):
    """A factor of variation: its kind, and the names of its values."""

    kind: Kind = "categorical"
    """categorical: values in no order. ordinal: values in the order of the list. circular: ordinal,
    and the first value follows the last."""
    values: Annotated[
        dict[str, tuple[str, ...]], BeforeValidator(_named_cells), Field(min_length=2)
    ]
    """Names of the values, in order. A mapping gives each name the cells of the labels (or the
    indices of the grid) that it stands for. Pictures with other cells are unlabelled; those with
    other indices of a grid are left out."""
    column: str | None = None
    """Column of the labels, or axis of the grid; by default that of the factor's name."""


class Description(Part):
    """A data set: the content of its YAML file.

    `digest`, `pictures`, `labelled` and absolute paths are added when the file is resolved
    (`weakdis_core.data.own.resolve`); the file does not hold them.
    """

    version: Literal[1] = 1
    """Version of the format."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]
    """Name of the data set, for `--variant`: letters, digits and _."""
    family: str = "own"
    """own, or the family of a renderer (dsprites, shapes3d)."""
    images: str = ""
    """Folder of pictures, FILE.npz:ARRAY or FILE.h5:DATASET, relative to the YAML file."""
    labels: str = ""
    """CSV file with a row for each picture, or FILE.npz:ARRAY. Not needed with a grid."""
    grid: dict[str, Annotated[int, Field(ge=1)]] = {}
    """Axes of a full grid and their sizes; the pictures are in its order, the last axis fastest."""
    size: Literal[32, 64, 128] = 64
    """Height and width in pixels. Pictures of another size are resized."""
    channels: Literal[1, 3] = 3
    """1 for grey pictures, 3 for RGB."""
    factors: Annotated[dict[str, FactorDescription], Field(min_length=1)]
    """The factors of variation."""
    relations: dict[str, tuple[str, int]] = {}
    """Name of each relation: [FACTOR, STEPS], a cyclic shift of the factor's value."""
    nuisance: Annotated[dict[str, tuple[int, ...]], BeforeValidator(_every_index)] = {}
    """Columns or axes that are no factors. A mapping gives the allowed indices of an axis."""
    group: str | None = None
    """Column of a picture's origin (a video, a person). A group never straddles two splits."""
    split: str | None = None
    """Column with train, validation or test, which overrides the random split."""
    transformations: tuple[Transformation, ...] = ()
    """Changes of a picture that keep every label; training uses them. shift: by up to 4 pixels;
    zoom: by up to a tenth; flip: mirrored; noise: of the pixels."""
    licence: str = ""
    """Licence of the pictures."""
    citation: str = ""
    """Whom to cite."""
    digest: str = ""
    """Digest of pictures, labels and this description."""
    pictures: Annotated[int, Field(ge=0)] = 0
    """Number of pictures."""
    labelled: Annotated[int, Field(ge=0)] = 0
    """Number of pictures with a label of a factor."""

    def __hash__(self) -> int:
        return hash(self.digest or self.identity())

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        for name, (factor, _) in self.relations.items():
            if factor not in self.factors:
                known = ", ".join(self.factors)
                raise ValueError(f"relations.{name}: {factor!r} is not one of the factors {known}")
            _check_name("relations", name)
        for name, each in self.factors.items():
            _check_name("factors", name)
            self._check_cells(name, each)
        return self

    def _check_cells(self, name: str, factor: FactorDescription) -> None:
        cells = [cell for each in factor.values.values() for cell in each]
        if twice := [cell for cell, count in Counter(cells).items() if count > 1]:
            raise ValueError(f"factors.{name}: {twice[0]} belongs to two values")
        if not self.grid:
            return
        axis = factor.column or name
        if axis not in self.grid:
            known = ", ".join(self.grid)
            raise ValueError(f"factors.{name}: {axis!r} is not one of the grid's axes {known}")
        allowed = set(map(str, range(self.grid[axis])))
        if wrong := sorted(set(cells) - allowed):
            raise ValueError(
                f"factors.{name}: {wrong[0]!r} is no index of the axis, 0 to {self.grid[axis] - 1}"
            )

    def identity(self) -> str:
        """Return a digest of what the numbers of a model depend on, without places and texts."""
        parts = self.model_dump(
            mode="json",
            exclude={"images", "labels", "licence", "citation", "digest", "labelled"},
        )
        return hashlib.sha256(json.dumps(parts, sort_keys=False).encode()).hexdigest()[:16]
