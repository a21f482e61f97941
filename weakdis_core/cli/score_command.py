"""`weakdis score`: the disentanglement metrics of any representation."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from tyro.conf import arg

from weakdis_core.cli import console
from weakdis_core.errors import UserError
from weakdis_core.files import write_text
from weakdis_core.metrics.ceilings import TRAIN_ROWS
from weakdis_core.metrics.validation import Codes
from weakdis_core.scores.representation import score_representation

File = Annotated[
    str, arg(metavar="FILE", help=".npy, .npz, .npz:KEY or .csv with one row for each picture.")
]


def run(args: Sequence[str], prog: str) -> None:
    """Score the representation that the flags name."""
    console.run_function(score, args, prog=prog)


def score(
    codes: File,
    factors: File,
    output: Annotated[Path | None, arg(metavar="FILE", help="CSV file to write.")] = None,
    seed: Annotated[int, arg(help="Seed of the draw of train and test rows.")] = 0,
    dci_rows: Annotated[int, arg(help="Train rows of DCI, at most.")] = TRAIN_ROWS,
) -> None:
    """Print DCI, MIG, SAP, modularity and InfoMEC of any codes, given the true factor values.

    $ weakdis score --codes codes.npy --factors factors.csv
    """
    if dci_rows < 1:
        raise UserError(f"dci_rows: {dci_rows} is not allowed: must be at least 1")
    array = np.asarray(_read("codes", codes))
    if array.dtype.kind not in "iufb" or array.ndim not in (2, 3):
        raise UserError(
            f"codes: {codes} has shape {array.shape} of {array.dtype}, expected numbers "
            "(rows, dimensions) or (rows, partitions, latent)"
        )
    values = _encode(_read("factors", factors))
    with console.progress("scores"):
        scores = score_representation(array, values, list(map(str, values)), seed, dci_rows)
    table = pd.DataFrame(scores.values(), index=list(scores)).assign(seed=seed)
    print(f"codes: shape {array.shape} of {array.dtype}")
    for name, column in values.items():
        print(f"factor {name}: {column.max() + 1} values")
    print(table.to_string(float_format="{:.3f}".format, na_rep="nan"))
    if output is not None:
        write_text(output, table.to_csv(index_label="score", na_rep="nan"))


def _read(field: str, place: str) -> Codes | pd.DataFrame:
    """Return the array of a file, or columns that have names."""
    name, _, key = place.partition(".npz:")
    path = Path(f"{name}.npz" if key else place)
    if path.suffix not in (".npy", ".npz", ".csv"):
        raise UserError(
            f"{field}: {place!r} is not allowed: the name must end in .npy, .npz, .npz:KEY or .csv"
        )
    try:
        if path.suffix == ".csv":
            return _read_csv(path)
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return found
            key = key or (next(iter(found)) if len(found) == 1 else "")
            if key in found:
                return np.asarray(found[key])
            if key or any(array.ndim != 1 for array in found.values()):
                raise UserError(f"{field}: {path} has {', '.join(found)}; name one with {path}:KEY")
            return pd.DataFrame(dict(found))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", "") or str(error).partition(" If you trust")[0].strip()
        raise UserError(f"{path}: cannot be read ({reason})") from None


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV; its first line holds names, unless all of it is numbers."""
    first = pd.read_csv(path, header=None, nrows=1)
    named = not all(map(pd.api.types.is_numeric_dtype, first.dtypes))
    table = pd.read_csv(
        path, header=None, skiprows=int(named), na_values=[""], keep_default_na=False
    )
    return table.set_axis(list(first.iloc[0]), axis=1) if named else table


def _encode(values: Codes | pd.DataFrame) -> pd.DataFrame:
    """Return factor values as indices in ascending order."""
    if values.ndim > 2 or not values.size:
        raise UserError(f"factors: shape {values.shape} is not allowed: it needs rows and columns")
    encoded = pd.DataFrame(values).apply(lambda column: pd.factorize(column, sort=True)[0])
    for name, missing in (encoded < 0).sum().items():
        if missing:
            raise UserError(f"factors: factor {name} lacks {missing} of {len(encoded)} values")
    return encoded
