"""Rows of images, drawn without interpolation."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from weakdis_core.data.picture_files import Images
from weakdis_core.pictures.canvas import Head, save

Pixels = NDArray[np.uint8]

# With a power of two, a number of pixels is exact in inches.
DPI = 256
_SIDE = 128
_GAP = 10
_FRAME = 4
_FRAME_COLOUR = np.round(255 * np.array(to_rgb("#D55E00"))).astype(np.uint8)
_APART = 24
_NARROWEST = 4 * DPI
# Steps of brightness for each channel. Finer ones are invisible and double the size of the file.
_LEVELS = {1: np.array([63]), 3: np.array([31, 63, 31])}
_MARGIN = 16
# Font size in points; width of a letter and height of a line in pixels; letters of a label.
_FONT, _LETTER, _LINE, _LETTERS = 6.0, 13.5, 26, 11


@dataclass(frozen=True)
class GridRow:
    """A row of images.

    Attributes:
        images: Each `(channels, size, size)` in [0, 1]; None leaves a place empty.
        label: Text on the left of the row.
        framed: Place of the image with a frame.
        note: Text on the right of the row.
        apart: Whether to leave a gap above the row.
        names: Text above each image, shortened if there is no space.
    """

    images: Sequence[Images | None]
    label: str = ""
    framed: int | None = None
    note: str = ""
    apart: bool = False
    names: Sequence[str] = ()


def write_rows(rows: Sequence[GridRow], columns: Sequence[str], head: Head, path: Path) -> None:
    """Write a PNG of rows of images under a head and the names of the columns."""
    left = _MARGIN + _text_width([row.label for row in rows], _LETTERS)
    right = _MARGIN + _text_width([row.note for row in rows if len(row.images) == len(columns)], 99)
    pitch = _SIDE + _GAP
    width = max(left + len(columns) * pitch + right, _NARROWEST)
    names = [textwrap.fill(name, _LETTERS) for name in columns]
    top = round(DPI * head.height(width / DPI)) + _LINE * max(n.count("\n") + 1 for n in names)
    gaps = [_GAP + _APART * row.apart + _LINE * bool(row.names) for row in rows]
    tops = top + np.cumsum(gaps)
    tops += _SIDE * np.arange(len(rows))
    height = int(tops[-1]) + _SIDE + _MARGIN

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.figimage(_paste(rows, tops, left, (height, width)), origin="upper")
    head.draw(figure)

    def write(x: float, y: float, text: str, **how: Any) -> None:
        figure.text(x / width, 1 - y / height, text, fontsize=_FONT, linespacing=1.1, **how)

    def write_above(y: float, texts: Sequence[str], va: str) -> None:
        for column, text in enumerate(texts):
            write(left + column * pitch + _SIDE / 2, y, text, ha="center", va=va)

    write_above(top, names, "bottom")
    for row, y in zip(rows, tops.tolist(), strict=True):
        write_above(y - _GAP, [_shorten(name) for name in row.names], "baseline")
    for row, y in zip(rows, tops + _SIDE / 2, strict=True):
        label = textwrap.fill(row.label, _LETTERS)
        write(left - _GAP, y, label, ha="right", va="center", multialignment="right")
        end = left + len(row.images) * pitch
        write(end, y, row.note, ha="left", va="center")
    save(figure, path)


def _paste(
    rows: Sequence[GridRow], tops: NDArray[np.int64], left: int, size: tuple[int, int]
) -> Pixels:
    canvas = np.full((*size, 3), 255, dtype=np.uint8)
    for row, y in zip(rows, tops.tolist(), strict=True):
        for place, image in enumerate(row.images):
            x = left + place * (_SIDE + _GAP)
            if place == row.framed:
                end = _SIDE + _FRAME
                canvas[y - _FRAME : y + end, x - _FRAME : x + end] = _FRAME_COLOUR
            if image is not None:
                canvas[y : y + _SIDE, x : x + _SIDE] = _enlarge(image)
    return canvas


def _enlarge(image: Images) -> Pixels:
    """Return the bytes of an image, channels last, with pixels repeated up to `_SIDE`."""
    levels = _LEVELS[len(image)]
    pixels = np.round(np.round(image.transpose(1, 2, 0) * levels) * (255 / levels))
    times = _SIDE // len(pixels)
    return np.repeat(np.repeat(pixels.astype(np.uint8), times, axis=0), times, axis=1)


def _shorten(name: str) -> str:
    return name if len(name) < _LETTERS else f"{name[: _LETTERS - 2]}\N{HORIZONTAL ELLIPSIS}"


def _text_width(texts: Sequence[str], letters: int) -> int:
    """Return the pixels of the longest line of texts and a gap beside it; 0 without text."""
    lines = [line for text in texts for line in textwrap.wrap(text, letters)]
    return _GAP + round(_LETTER * max(map(len, lines))) if lines else 0
