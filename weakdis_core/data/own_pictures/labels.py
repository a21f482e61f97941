"""The labels of an own data set: the columns of a CSV file, or of an array."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from weakdis_core.config.description import Description
from weakdis_core.data import arrays
from weakdis_core.data.own_pictures.picture_source import PictureSource
from weakdis_core.data.own_pictures.picture_sources import split_address
from weakdis_core.data.own_pictures.published_files import NORB_LABELS, read_norb_labels
from weakdis_core.data.variant import UNKNOWN, IndexArray
from weakdis_core.errors import UserError

FILE_COLUMNS = ("file", "file_name")
"""Columns of a CSV file that name the picture of a row; the second is Hugging Face's."""

SPLITS = ("train", "validation", "test")
"""Cells of a `split` column."""

_NO_LABEL = ("", "-1", "-1.0", "nan", "none", "null", "?")

Columns = dict[str, list[str]]
"""The cell of each picture, by the column's name; `` for a picture without a label."""


def read_labels(address: str, pictures: PictureSource) -> Columns:
    """Read the labels of pictures, in their order.

    Numbers are written alike (`1`, `1.0` and `1.00` are `1`).

    Raises:
        UserError: The file cannot be read, or its rows do not fit the pictures.
    """
    path, array = split_address(address)
    if path.name.endswith(NORB_LABELS):
        columns = read_norb_labels(path)
    elif array is None:
        columns = _read_csv(path, pictures)
    else:
        columns = _read_array(path, array, pictures)
    return {name: _written_alike(cells) for name, cells in columns.items()}


def label_indices(description: Description, columns: Columns) -> IndexArray:
    """Return the indices of pictures by their labels, `(pictures, 1 + factors)`.

    The first column is the picture's place in its source, the others are the places of its cells
    among those of each factor, `UNKNOWN` for a cell that belongs to no value.

    Raises:
        UserError: A factor has no column.
    """
    indices = [np.arange(description.pictures)]
    for name, factor in description.factors.items():
        column = _column(columns, factor.column or name, f"factors.{name}")
        cells = _written_alike(cell for each in factor.values.values() for cell in each)
        place = {cell: number for number, cell in enumerate(cells)}
        indices.append(np.array([place.get(cell, UNKNOWN) for cell in column], np.int64))
    return np.stack(indices, axis=1)


def group_indices(description: Description, columns: Columns) -> IndexArray | None:
    """Return an integer for each picture's group, `(pictures,)`; None without groups.

    A picture without a cell is a group of its own.
    """
    if description.group is None:
        return None
    cells = _column(columns, description.group, "group")
    alone = [cell or f"\0{row}" for row, cell in enumerate(cells)]
    return np.unique(np.array(alone), return_inverse=True)[1].astype(np.int64)


def given_splits(description: Description, columns: Columns) -> IndexArray | None:
    """Return 0, 1 or 2 for pictures that a column puts into train, validation or test, else -1.

    Raises:
        UserError: There is no such column, or a cell is another word.
    """
    if description.split is None:
        return None
    return split_indices(_column(columns, description.split, "split"))


def split_indices(cells: Sequence[str]) -> IndexArray:
    """Return 0, 1 or 2 for the cells of train, validation and test, -1 for empty ones.

    Raises:
        UserError: A cell is another word.
    """
    short = {"val": "validation", "valid": "validation", "training": "train"}
    words = [short.get(cell.lower(), cell.lower()) for cell in cells]
    if wrong := sorted(set(words) - {"", *SPLITS}):
        raise UserError(f"split: {wrong[0]!r} is not allowed: {', '.join(SPLITS)}, or empty")
    return np.array([SPLITS.index(word) if word else UNKNOWN for word in words], np.int64)


def _column(columns: Columns, name: str, field: str) -> list[str]:
    if name not in columns:
        known = ", ".join(columns) or "none"
        raise UserError(f"{field}: {name!r} is not allowed: the labels have the columns {known}")
    return columns[name]


def _read_csv(path: Path, pictures: PictureSource) -> Columns:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"labels: {path} cannot be read as CSV ({reason})") from None
    head, *body = [[cell.strip() for cell in row] for row in rows if row] or [[]]
    for number, row in enumerate(body, start=2):
        if len(row) != len(head):
            raise UserError(
                f"labels: {path} is not allowed: line {number} has {len(row)} cells, the first "
                f"line {len(head)}"
            )
    if not body:
        raise UserError(f"labels: {path} is not allowed: it has no rows below a line of names")
    table = dict(zip(head, map(list, zip(*body, strict=True)), strict=True))
    key = next((name for name in FILE_COLUMNS if name in table), None)
    if key is None and pictures.names is not None:
        raise UserError(f"labels: {path} is not allowed: it has no column file; found {head}")
    if key is None or pictures.names is None:
        if len(body) != pictures.count:
            raise UserError(
                f"labels: {path} is not allowed: {len(body):,} rows for {pictures.count:,} pictures"
            )
        return table
    return _by_file(path, table, table.pop(key), pictures.names)


def _by_file(path: Path, table: Columns, files: Sequence[str], names: Sequence[str]) -> Columns:
    """Return the columns in the order of the pictures; those without a row have no label."""
    place = {name: row for row, name in enumerate(names)}
    seen: set[str] = set()
    columns = {name: [""] * len(names) for name in table}
    for number, file in enumerate(files):
        name = file.removeprefix("./")
        if name not in place:
            raise UserError(
                f"labels: {path} is not allowed: it has a row of {file}, which is not among the "
                f"pictures (the first is {names[0]})"
            )
        if name in seen:
            raise UserError(f"labels: {path} is not allowed: it has two rows of {file}")
        seen.add(name)
        for column, cells in table.items():
            columns[column][place[name]] = cells[number]
    return columns


def _read_array(path: Path, array: str, pictures: PictureSource) -> Columns:
    found = arrays.load_array(path, array)
    if len(found) != pictures.count:
        raise UserError(
            f"labels: {path} is not allowed: {array} has {len(found):,} rows for "
            f"{pictures.count:,} pictures"
        )
    if names := found.dtype.names:
        return {name: [_text(cell) for cell in found[name]] for name in names}
    table = found.reshape(len(found), -1)
    name = "factor_" if table.shape[1] > 1 else array
    return {
        f"{name}{number}" if table.shape[1] > 1 else name: [_text(cell) for cell in column]
        for number, column in enumerate(table.T, start=1)
    }


def _text(cell: object) -> str:
    return cell.decode() if isinstance(cell, bytes) else str(cell)


def _written_alike(cells: Iterable[str]) -> list[str]:
    """Return cells with numbers written alike, and without the words for a missing label."""
    known = ["" if cell.strip().lower() in _NO_LABEL else cell.strip() for cell in cells]
    try:
        return [cell and f"{float(cell):.10g}" for cell in known]
    except ValueError:
        return known
