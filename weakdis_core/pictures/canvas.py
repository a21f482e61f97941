"""The parts that all pictures share: a head, panels and a PNG file."""

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
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from weakdis_core.config.config import Config
from weakdis_core.files import write_bytes

COLOURS = tuple(c for i, c in enumerate(mpl.color_sequences["okabe_ito"]) if i != 4)
"""Colours that differ without colour vision; yellow is too faint on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
"""Markers for up to ten values of a factor."""

_MARGIN = 0.06
# Font size in points, and letters in an inch.
_TITLE, _TITLE_LETTERS = 8.0, 13.5
_CAPTION, _CAPTION_LETTERS = 7.0, 18.5
_LEADING = 1.25
_PANELS_DPI = 170
_LARGEST_BYTES = 380_000


@dataclass(frozen=True)
class Head:
    """Text above a picture.

    Attributes:
        title: The model.
        caption: A description of the picture; may be empty.
    """

    title: str
    caption: str = ""

    @classmethod
    def of(cls, config: Config, caption: str) -> Head:
        """Return a head whose title names variant, configuration and seed."""
        title = f"{config.data.variant}, config {config.hash()}, seed {config.seed}"
        return cls(title, caption)

    def height(self, width: float) -> float:
        """Return its height in inches in a picture `width` inches wide."""
        title, caption = self._lines(width)
        points = _LEADING * (len(title) * _TITLE + len(caption) * _CAPTION)
        return points / 72 + 2 * _MARGIN

    def draw(self, figure: Figure) -> None:
        """Write the title and caption at the top of a figure."""
        width, height = figure.get_size_inches()
        title, caption = self._lines(width)
        x, y = _MARGIN / width, 1 - _MARGIN / height
        figure.text(x, y, "\n".join(title), va="top", fontsize=_TITLE, weight="bold")
        below = _MARGIN + _LEADING * len(title) * _TITLE / 72 + 0.02
        figure.text(x, 1 - below / height, "\n".join(caption), va="top", fontsize=_CAPTION)

    def _lines(self, width: float) -> tuple[list[str], list[str]]:
        inches = width - 2 * _MARGIN
        return (
            textwrap.wrap(self.title, int(inches * _TITLE_LETTERS)),
            textwrap.wrap(self.caption, int(inches * _CAPTION_LETTERS)),
        )


def draw_panels(
    head: Head, lines: int, columns: int, panel: tuple[float, float], right: float
) -> tuple[Figure, NDArray[Any]]:
    """Draw a head, and below it panels `(lines, columns)` with their axes off.

    `panel` is the width and height of one, `right` the space beside the last, in inches.
    """
    width = columns * panel[0] + right
    above = head.height(width)
    height = above + lines * panel[1]
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - above / height))
    figure = Figure(figsize=(width, height), dpi=_PANELS_DPI, layout=layout)
    head.draw(figure)
    panels: NDArray[Any] = figure.subplots(lines, columns, squeeze=False)
    for each in panels.flat:
        each.set_axis_off()
    return figure, panels


def save(figure: Figure, path: Path, few_colours: bool = False) -> None:
    """Write a figure as a PNG, atomically; equal figures give equal files.

    Args:
        figure: The figure.
        path: The PNG to write.
        few_colours: Whether to reduce the figure to 256 colours even if its file is small.

    Raises:
        UserError: The file cannot be written.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Opaque figures need no fourth channel, and the file is smaller.
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    content = b"" if few_colours else _encode_png(image, figure.get_dpi())
    if few_colours or len(content) > _LARGEST_BYTES:
        palette = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        content = _encode_png(palette, figure.get_dpi())
    write_bytes(path, content)


def _encode_png(image: Image.Image, dpi: float) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True, dpi=(dpi, dpi))
    return content.getvalue()
