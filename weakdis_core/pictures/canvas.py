"""What all pictures share: a head that says what is shown, and how they are written."""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from weakdis_core.config.config import Config
from weakdis_core.files import write_bytes

COLOURS = tuple(c for i, c in enumerate(mpl.color_sequences["okabe_ito"]) if i != 4)
"""Colours that are told apart without colour vision; yellow is not, on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
"""As many as a factor has values: with the colours, every value has a pair of its own."""

_MARGIN = 0.06
# Points, and letters that fit an inch.
_TITLE, _TITLE_LETTERS = 8.0, 13.5
_CAPTION, _CAPTION_LETTERS = 7.0, 18.5
_LEADING = 1.25
_PANELS_DPI = 170
# Bytes.
_LARGEST = 380_000


@dataclass(frozen=True)
class Head:
    """What is written above a picture.

    Attributes:
        title: Which model it is of.
        caption: A sentence that says what is seen; may be empty.
    """

    title: str
    caption: str = ""

    @classmethod
    def of(cls, config: Config, caption: str) -> Head:
        """The head of a picture of a model: variant, configuration and seed."""
        title = f"{config.data.variant}, config {config.hash()}, seed {config.seed}"
        return cls(title, caption)

    def height(self, width: float) -> float:
        """Inches that it takes of a picture `width` inches wide."""
        title, caption = self._lines(width)
        points = _LEADING * (len(title) * _TITLE + len(caption) * _CAPTION)
        return points / 72 + 2 * _MARGIN

    def draw(self, figure: Figure) -> None:
        """Write it at the top of a figure."""
        width, height = figure.get_size_inches()
        title, caption = self._lines(width)
        below = _MARGIN + _LEADING * len(title) * _TITLE / 72 + 0.02

        def write(lines: list[str], top: float, size: float, weight: str) -> None:
            at, text = (_MARGIN / width, 1 - top / height), "\n".join(lines)
            figure.text(*at, text, ha="left", va="top", fontsize=size, weight=weight)

        write(title, _MARGIN, _TITLE, "bold")
        write(caption, below, _CAPTION, "normal")

    def _lines(self, width: float) -> tuple[list[str], list[str]]:
        inches = width - 2 * _MARGIN
        return (
            textwrap.wrap(self.title, int(inches * _TITLE_LETTERS)),
            textwrap.wrap(self.caption, int(inches * _CAPTION_LETTERS)),
        )


def draw_panels(
    head: Head, lines: int, columns: int, panel: tuple[float, float], right: float
) -> tuple[Figure, NDArray[Any]]:
    """Draw a head, and below it panels `(lines, columns)` whose axes are still off.

    `panel` is the width and height of one, `right` the room beside the last, in inches.
    """
    width = columns * panel[0] + right
    above = head.height(width)
    height = above + lines * panel[1]
    figure = Figure(figsize=(width, height), dpi=_PANELS_DPI, layout="constrained")
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, 0, 1, 1 - above / height))  # type: ignore[call-arg]
    head.draw(figure)
    panels: NDArray[Any] = figure.subplots(lines, columns, squeeze=False)
    for each in panels.flat:
        each.set_axis_off()
    return figure, panels


def save(figure: Figure, path: Path, few_colours: bool = False) -> None:
    """Write a figure as a PNG, atomically; the same figure gives the same file.

    Args:
        figure: The figure.
        path: The PNG to write.
        few_colours: Whether 256 colours are enough for it. A file that would be too large has no
            more than these either.

    Raises:
        UserError: The file cannot be written.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # The backgrounds are white: without the fourth channel files are smaller.
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    content = b"" if few_colours else _png(image, figure.get_dpi())
    if few_colours or len(content) > _LARGEST:
        palette = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        content = _png(palette, figure.get_dpi())
    write_bytes(path, content)


def _png(image: Image.Image, dpi: float) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True, dpi=(dpi, dpi))
    return content.getvalue()
