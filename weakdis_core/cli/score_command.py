"""`weakdis score`: the disentanglement metrics of any representation."""

import csv
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from tyro.conf import arg

from weakdis_core.cli import console
from weakdis_core.errors import UserError
from weakdis_core.files import write_text
from weakdis_core.metrics.ceilings import TRAIN_ROWS
from weakdis_core.metrics.validation import Factors
from weakdis_core.scores.representation import score_representation

Array = NDArray[Any]
_LINE = "{:<33}{:>7}{:>13}{:>12}{:>11}"


def run(args: Sequence[str], prog: str) -> None:
    """Score a representation.

    Raises:
        UserError: A file cannot be read or written, or its arrays cannot be scored.
    """
    console.run_function(score, args, prog=prog)


def score(
    codes: Annotated[
        str,
        arg(metavar="FILE", help="Codes: .npy, .npz, .npz:KEY or .csv with one row for a picture."),
    ],
    factors: Annotated[
        str, arg(metavar="FILE", help="True values in the same formats, one column for a factor.")
    ],
    output: Annotated[Path | None, arg(metavar="FILE", help="CSV file to write.")] = None,
    seed: Annotated[int, arg(help="Seed of the draw of train and test rows.")] = 0,
    dci_rows: Annotated[int, arg(help="Train rows of DCI, at most.")] = TRAIN_ROWS,
) -> None:
    """Print DCI, MIG, SAP, modularity and InfoMEC of any representation.

    $ weakdis score --codes codes.npy --factors factors.csv
    """
    for name, value, least in (("seed", seed, 0), ("dci_rows", dci_rows, 1)):
        if value < least:
            raise UserError(f"{name}: {value} is not allowed: must be at least {least}")
    code_array = _numbers(codes, _read("codes", codes)[0])
    names, values = _encoded(*_read("factors", factors))
    with console.progress("scores"):
        scores = score_representation(code_array, values, seed, dci_rows, names)
    print(f"codes: shape {code_array.shape} of {code_array.dtype}; seed {seed}")
    for name, column in zip(names, values.T, strict=True):
        print(f"factor {name}: {column.max() + 1} values")
    head = ("score", "codes", "true_values", "train_rows", "test_rows")
    print(_LINE.format(*head))
    for name, each in scores.items():
        ours, best, *rows = astuple(each)
        print(_LINE.format(name, f"{ours:.3f}", f"{best:.3f}", *rows))
    if output is not None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow((*head, "seed"))
        table.writerows((name, *astuple(each), seed) for name, each in scores.items())
        write_text(output, text.getvalue())


def _read(field: str, place: str) -> tuple[Array, Sequence[str] | None]:
    """Return the array of a file, and the names of its columns if it has any."""
    name, _, key = place.partition(".npz:")
    path = Path(f"{name}.npz" if key else place)
    kind = path.suffix.lower()
    if kind not in (".npy", ".npz", ".csv"):
        raise UserError(
            f"{field}: {place!r} is not allowed: the name must end in .npy, .npz, .npz:KEY or .csv"
        )
    try:
        if kind == ".csv":
            return _read_csv(path)
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return found, None
            return _choose(field, path, dict(found), key)
    except (OSError, ValueError, EOFError, csv.Error, zipfile.BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error).partition(". ")[0]
        raise UserError(f"{path}: cannot be read ({reason})") from None


def _read_csv(path: Path) -> tuple[Array, Sequence[str] | None]:
    """Read cells as text; the first line holds names, unless all of it is numbers."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise ValueError(f"row {number} has {len(row)} cells, the first {len(rows[0])}")
    names = rows.pop(0) if rows and _parsed(np.array(rows[0])).dtype.kind == "U" else None
    if not rows:
        raise ValueError("it has no rows")
    return np.array(rows), names


def _choose(
    field: str, path: Path, arrays: dict[str, Array], key: str
) -> tuple[Array, Sequence[str] | None]:
    """Return the array KEY, the only one, or columns `(n,)` side by side."""
    if key and key not in arrays:
        raise UserError(f"{field}: {path} has no array {key}; it has {', '.join(arrays)}")
    if key or len(arrays) == 1:
        return arrays[key or next(iter(arrays))], None
    if any(array.ndim != 1 for array in arrays.values()):
        raise UserError(f"{field}: {path} has {', '.join(arrays)}; choose one with {path}:KEY")
    return np.column_stack(list(arrays.values())), list(arrays)


def _parsed(cells: Array) -> Array:
    """Return text as integers or floating numbers if all of it is such."""
    for kind in (np.int64, np.float64) if cells.dtype.kind in "US" else ():
        try:
            return np.asarray(cells.astype(kind))
        except (ValueError, OverflowError):
            continue
    return cells


def _numbers(place: str, codes: Array) -> Array:
    codes = _parsed(codes)
    if codes.dtype.kind not in "iufb" or codes.ndim not in (2, 3):
        raise UserError(
            f"codes: {place} has shape {codes.shape} of {codes.dtype}, expected numbers "
            "(rows, dimensions) or (rows, partitions, latent)"
        )
    return codes


def _encoded(values: Array, names: Sequence[str] | None) -> tuple[Sequence[str], Factors]:
    """Return the names of the factors and their values as indices, in ascending order."""
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or not values.size:
        raise UserError(f"factors: shape {values.shape} is not allowed: it needs rows and columns")
    names = names or [str(number) for number in range(1, values.shape[1] + 1)]
    columns = []
    for name, column in zip(names, map(_parsed, values.T), strict=True):
        missing = column == "" if column.dtype.kind in "US" else column != column
        if count := int(np.sum(missing)):
            raise UserError(f"factors: factor {name} lacks {count} of {len(column)} values")
        columns.append(np.unique(column, return_inverse=True)[1])
    return names, np.stack(columns, axis=1)
