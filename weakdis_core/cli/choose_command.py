"""`weakdis data choose`: write the pictures that are worth labelling, and a CSV to fill in."""

import csv
import io
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from rich.console import Console
from tyro.conf import arg

from weakdis_core.cli import console
from weakdis_core.cli.arguments import DataDir
from weakdis_core.config.description import Description
from weakdis_core.config.settings import Source
from weakdis_core.data.own_pictures.picture_sources import open_pictures
from weakdis_core.data.prepared import Prepared, prepare
from weakdis_core.data.splits import splits_of
from weakdis_core.data.variant import UNKNOWN, IndexArray
from weakdis_core.errors import UserError
from weakdis_core.files import new_folder, write_text
from weakdis_core.presets import preset

LABELS = "labels.csv"
"""File of the labels to fill in."""


def choose(
    variant: Annotated[
        str, arg(metavar="VARIANT", help="A variant, or own pictures by their name or description.")
    ],
    output: Annotated[Path, arg(metavar="FOLDER", help="Folder to write.")],
    labels: Annotated[int, arg(help="Number of pictures to label.")] = 30,
    source: Annotated[
        Source, arg(help="Official files, our own rendering, or official if present (auto).")
    ] = "auto",
    data_seed: Annotated[int, arg(help="Seed of all draws.")] = 0,
    data_dir: DataDir = None,
) -> None:
    """Choose pictures that are worth labelling: typical ones, which stand for many others.

    The command trains an autoencoder without labels, in a minute or two. It chooses among the
    pictures without a label, or among the train images of a variant.

    $ weakdis data choose --variant digits --labels 30 --output to_label
    """
    # Imports torch, which help does without.
    from weakdis_core.training.choice import choose_images

    if labels < 1:
        raise UserError(f"labels: {labels} is not allowed: it must be at least 1")
    if output.exists():
        raise UserError(f"output: {output} exists; remove it, or name another folder")
    config = preset("default", variant).with_values({"data.data_seed": data_seed})
    if config.data.description is None:
        config = config.with_values({"data.source": source})
    with console.progress(f"{variant} images") as progress:
        prepared = prepare(config.data, data_dir, progress)
    rows = _rows_to_label(prepared, data_seed)
    if labels > len(rows):
        raise UserError(
            f"labels: {labels} is not allowed: {len(rows):,} pictures of {variant} have no label"
        )
    with console.progress(f"{variant} training without labels") as progress:
        chosen = choose_images(prepared, rows, config, labels, progress)
    _write(prepared, chosen, config.data.description, output)
    Console(soft_wrap=True, highlight=False).print(
        f"{output}: {labels} pictures, the most typical one first, and {LABELS} to fill in"
    )


def _rows_to_label(prepared: Prepared, data_seed: int) -> IndexArray:
    train = splits_of(prepared, data_seed).train
    if prepared.source != "own":
        return train
    unlabelled = (prepared.factors[train] == UNKNOWN).all(axis=1)
    return np.asarray(train[unlabelled])


def _write(
    prepared: Prepared, rows: IndexArray, description: Description | None, folder: Path
) -> None:
    """Write pictures and the CSV into a new folder, which appears when it is complete.

    The CSV has the names and columns of the data set's own labels.
    """
    columns, names = list(prepared.variant.factor_names), [f"{row:06d}.png" for row in rows]
    if description is not None:
        factors = description.factors.items()
        columns = [factor.column or name for name, factor in factors]
        files = open_pictures(description.images).names
        places = prepared.indices[rows, 0].tolist()
        names = [files[place] if files else f"{place:06d}.png" for place in places]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *columns])
    writer.writerows([name, *[""] * len(columns)] for name in names)
    try:
        with new_folder(folder) as unfinished:
            for row, name in zip(rows, names, strict=True):
                path = unfinished / (name if name.lower().endswith(".png") else f"{name}.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = prepared.images[row].transpose(1, 2, 0) * (255 / prepared.scale)
                Image.fromarray(pixels.round().astype(np.uint8).squeeze()).save(path)
            write_text(unfinished / LABELS, text.getvalue())
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"output: {folder} cannot be written ({reason})") from None
