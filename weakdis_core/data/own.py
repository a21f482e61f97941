"""Own data sets: their description by name or file, and the plan for preparing their pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weakdis_core.config.description import Description
from weakdis_core.config.settings import DataSettings
from weakdis_core.data import official
from weakdis_core.data.own_pictures.labels import (
    Columns,
    given_splits,
    group_indices,
    label_indices,
    read_labels,
)
from weakdis_core.data.own_pictures.picture_source import PictureSource
from weakdis_core.data.own_pictures.picture_sources import open_pictures, split_address
from weakdis_core.data.plan import FORMAT, Plan, draw_images
from weakdis_core.data.variant import UNKNOWN, IndexArray, Variant
from weakdis_core.data.variants import VARIANTS, build_variant, read_description
from weakdis_core.errors import UserError
from weakdis_core.files import write_text

_LEAST_LABELS, _LABELS_PER_VALUE = 30, 5


@dataclass(frozen=True)
class OwnPlan(Plan):
    """The plan of an own data set.

    Attributes:
        description: Its description.
    """

    description: Description

    def check(self) -> None:
        """Check that pictures, labels and description are those of the digest."""
        if content_digest(self.description, self._pictures) != self.description.digest:
            raise UserError(
                f"variant: the pictures or labels of {self.variant.name} have changed since its "
                "digest was taken; begin a new sweep or training"
            )

    def indices(self) -> IndexArray:
        """Draw pictures by the data seed, all labelled ones among them; return their indices."""
        if self.variant.is_grid:
            return draw_images(self.variant.indices(), self.n_images, self.data_seed)
        every = label_indices(self.description, self._columns)
        _check_labels(self.variant, every)
        known = (every[:, 1:] != UNKNOWN).any(1)
        left = max(0, self.n_images - int(known.sum()))
        drawn = draw_images(every[~known], left, self.data_seed) if left else every[:0]
        chosen = np.concatenate([every[known], drawn])
        return chosen[np.argsort(chosen[:, 0])]

    def images_at(
        self, indices: IndexArray, advance: Callable[[int], None] | None = None
    ) -> NDArray[np.uint8]:
        """Read pictures, and resize them."""
        rows = indices[:, 0]
        if self.variant.is_grid:
            rows = np.ravel_multi_index(tuple(indices.T), self.variant.grid.sizes)
        return self._pictures.read(rows, self.variant.channels, self.variant.size, advance)

    def tables(self, indices: IndexArray) -> dict[str, IndexArray]:
        """Return the pictures' groups and given splits, where the description names columns."""
        if self.variant.is_grid:
            return {}
        columns, rows = self._columns, indices[:, 0]
        found = {
            "groups": group_indices(self.description, columns),
            "given_split": given_splits(self.description, columns),
        }
        return {name: each[rows] for name, each in found.items() if each is not None}

    @cached_property
    def _pictures(self) -> PictureSource:
        # Pictures are read in chunks; a folder of many files takes time to list.
        return open_pictures(self.description.images)

    @cached_property
    def _columns(self) -> Columns:
        return read_labels(self.description.labels, self._pictures)


def plan_own(settings: DataSettings, description: Description) -> OwnPlan:
    """Return the plan of an own data set."""
    variant = build_variant(description)
    n_images = min(settings.max_images, variant.n_images)
    draws = settings.data_seed if n_images < variant.n_images else None
    shaped_by = [FORMAT, description.digest, n_images, draws]
    digest = hashlib.sha256(json.dumps(shaped_by).encode()).hexdigest()[:16]
    return OwnPlan(variant, "own", n_images, settings.data_seed, digest, description)


def data_settings(variant: str) -> dict[str, Any]:
    """Return the settings of a variant's data, by the names of `DataSettings`.

    Args:
        variant: Name of a shipped variant, name of an added data set, or path of a description.

    Raises:
        UserError: There is none, or its description, pictures or labels cannot be read.
    """
    if variant in VARIANTS:
        return {"variant": variant}
    found = resolve(description_file(variant))
    return {"variant": found.name, "source": "own", "description": found.model_dump(mode="json")}


def check_unchanged(data: DataSettings) -> None:
    """Check that own pictures, labels and description are still those of the settings.

    Settings of shipped variants, and pictures that are no longer on this machine, are not checked.

    Raises:
        UserError: They have changed.
    """
    path = added_descriptions().get(data.variant)
    if data.description is None or path is None or not path.is_file():
        return
    if (found := resolve(path)).digest != data.description.digest:
        raise UserError(
            f"variant: the pictures, labels or description of {data.variant} have changed (digest "
            f"{data.description.digest}, now {found.digest}), and numbers of both do not compare; "
            "begin a new sweep"
        )


def description_file(variant: str) -> Path:
    """Return the path of the description of an added data set, by name or path.

    Raises:
        UserError: There is none.
    """
    path = Path(variant).expanduser()
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise UserError(f"variant: {variant!r} is not allowed: there is no such file")
        return path.absolute()
    added = added_descriptions()
    if variant not in added:
        own = f"; added: {', '.join(added)}" if added else ""
        raise UserError(
            f"variant: {variant!r} is not one of {', '.join(VARIANTS)}{own}; "
            "`weakdis data add` adds own pictures"
        )
    if not added[variant].is_file():
        raise UserError(
            f"variant: {variant!r} is not allowed: its description {added[variant]} is missing"
        )
    return added[variant]


def added_descriptions() -> dict[str, Path]:
    """Return the descriptions of the added data sets, by name."""
    found = {}
    for note in sorted(_notes().glob("*.json")):
        with suppress(OSError, ValueError, KeyError):
            found[note.stem] = Path(json.loads(note.read_text())["description"])
    return found


def resolve(path: Path) -> Description:
    """Read a description file; add absolute paths, the number of pictures and the digest.

    A note in the cache saves hashing pictures that have not changed.

    Raises:
        UserError: The description, the pictures or the labels cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    return complete(read_description(text, str(path)), path)


def complete(description: Description, path: Path) -> Description:
    """Complete a description that is or will be in the file `path`, as `resolve` does."""
    if description.name in VARIANTS:
        raise UserError(f"name: {description.name!r} is not allowed: a shipped variant has it")
    places = {
        field: _absolute(getattr(description, field), path.parent) for field in ("images", "labels")
    }
    pictures = open_pictures(places["images"])
    description = description.model_copy(update=places | {"pictures": pictures.count})
    _check_grid(description)
    seen = f"{description.identity()} {pictures.fingerprint()} {_label_fingerprint(description)}"
    note = _notes() / f"{description.name}.json"
    with suppress(OSError, ValueError, KeyError):
        known = json.loads(note.read_text())
        if known["seen"] == seen:
            found = {name: known[name] for name in ("digest", "labelled")}
            return description.model_copy(update=found)
    found = {
        "digest": content_digest(description, pictures),
        "labelled": _count_labelled(description, pictures),
    }
    with suppress(UserError):  # Without a writable cache, hash the pictures again.
        write_text(note, json.dumps({"description": str(path), "seen": seen, **found}))
    return description.model_copy(update=found)


def _count_labelled(description: Description, pictures: PictureSource) -> int:
    if description.grid:
        return build_variant(description).n_images
    indices = label_indices(description, read_labels(description.labels, pictures))
    return int((indices[:, 1:] != UNKNOWN).any(axis=1).sum())


def content_digest(description: Description, pictures: PictureSource) -> str:
    """Return the digest of an own data set's pictures, labels and description."""
    total = hashlib.sha256(f"{description.identity()} {pictures.digest()}".encode())
    if description.labels:
        # The labels may be in the same large file as the pictures.
        with split_address(description.labels)[0].open("rb") as file:
            while part := file.read(2**20):
                total.update(part)
    return total.hexdigest()[:16]


def _check_labels(variant: Variant, indices: IndexArray) -> None:
    """Check that every value has a label, and the largest factor enough of them."""
    values = variant.values(indices)
    for factor, column in zip(variant.factors, values.T, strict=True):
        counts = np.bincount(column[column != UNKNOWN], minlength=factor.n_values)
        if not counts.all():
            raise UserError(
                f"factors.{factor.name}: {factor.value_names[int(counts.argmin())]!r} is not "
                "allowed: no picture has this label; remove it from the description"
            )
        needed = max(_LEAST_LABELS, _LABELS_PER_VALUE * factor.n_values)
        if counts.sum() < needed:
            raise UserError(
                f"labels: {counts.sum()} of {factor.name} are not enough: {needed} are needed, "
                f"{_LABELS_PER_VALUE} for each of its {factor.n_values} values and at least "
                f"{_LEAST_LABELS}"
            )


def _check_grid(description: Description) -> None:
    expected = int(np.prod(list(description.grid.values())))
    if description.grid and expected != description.pictures:
        sizes = " x ".join(map(str, description.grid.values()))
        raise UserError(
            f"grid: {sizes} is not allowed: it has {expected:,} pictures, {description.images} "
            f"{description.pictures:,}"
        )
    if not description.grid and not description.labels:
        raise UserError("labels: they are needed, or a grid")


def _label_fingerprint(description: Description) -> str:
    if not description.labels:
        return ""
    path, _ = split_address(description.labels)
    try:
        return f"{path.stat().st_size} {path.stat().st_mtime_ns}"
    except OSError as error:
        raise UserError(f"labels: {path} cannot be read ({error.strerror})") from None


def _absolute(address: str, folder: Path) -> str:
    return str(folder / Path(address).expanduser()) if address else ""


def _notes() -> Path:
    return official.cache_root() / "own"
