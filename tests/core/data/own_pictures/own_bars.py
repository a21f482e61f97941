"""Pictures of bars with labels, written as a user has them, and `weakdis data` on them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from weakdis_core.cli import data_commands as commands
from weakdis_core.config.settings import DataSettings
from weakdis_core.data import own
from weakdis_core.data.prepared import Prepared, prepare

COLOURS = {"blue": (40, 60, 220), "green": (30, 200, 30), "red": (220, 30, 30)}
N = 90


def values_of(row: int) -> tuple[str, int]:
    return sorted(COLOURS)[row % 3], row // 3 % 4


def picture(row: int) -> Image.Image:
    """A bar of one of three colours at one of four places, a different picture for each row."""
    colour, place = values_of(row)
    pixels = np.zeros((48, 80, 3), np.uint8)
    pixels[10:38, 8 + 16 * place : 20 + 16 * place] = COLOURS[colour]
    pixels[:, 0] = row
    return Image.fromarray(pixels)


def write_folder(folder: Path, rows: list[list[Any]] | None = None) -> Path:
    """Write the pictures, and the labels of the first sixty; one of them lacks its place."""
    folder.mkdir()
    for row in range(N):
        picture(row).save(folder / f"{row:03}.png")
    if rows is None:
        rows = [[f"{row:03}.png", *values_of(row), row // 2] for row in range(60)]
        rows[7][2] = ""
    write_csv(folder / "metadata.csv", ["file", "colour", "place", "source"], rows)
    return folder


def write_csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])


def data(*args: str) -> None:
    commands.run(args, "weakdis data")


def opened(name: str) -> Prepared:
    return prepare(DataSettings.model_validate(own.data_settings(name)))
