"""How figures look, and how they become part of a page or a file for print.

Ink and lines are drawn in one colour that stands for the reader's own: in the page it becomes the
colour of the text, and blue that of links, so that a figure can be read on light and on dark.
Colours are Okabe and Ito's, which differ without colour vision too, and markers differ with them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from weakdis_core.errors import UserError

WIDTH = 6.4
"""Inches of a figure: a column of the page, and the width of a text in print."""

BLUE, ORANGE, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c8c8c"

_INK = "#1b1c1d"
_TRIAL_GROUP = r'<g id="trial/([^/"]*)/([^"]*)">'
# Matplotlib types the names of its settings one by one.
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlesize": 9,
    "axes.titlecolor": _INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GREY,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    # Text stays text: it can be searched, and is a tenth of the size.
    "svg.fonttype": "none",
    "svg.hashsalt": "weakdis",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Drawing:
    """A figure and what it shows.

    Attributes:
        name: Short name; that of its file, and its anchor in the page.
        title: A few words.
        sentence: What it shows and how to read it.
        figure: The figure.
    """

    name: str
    title: str
    sentence: str
    figure: Figure

    def svg(self) -> str:
        """As SVG that takes a page's own colour for its ink; marks of trials say which they are."""
        text = io.StringIO()
        with mpl.rc_context(_STYLE):
            FigureCanvasSVG(self.figure).print_svg(text, metadata={"Date": None})
        svg = text.getvalue()[text.getvalue().index("<svg") :]
        svg = svg.replace(_INK, "currentColor").replace(BLUE, "var(--accent)")
        svg = re.sub(_TRIAL_GROUP, r'<g data-trial="\1"><title>\2</title>', svg)
        # Names are of one figure; a page has several.
        svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{self.name}-", svg)
        label = f'<svg role="img" aria-label="{self.title}" class="figure"'
        return re.sub(r"^<svg", label, re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2))

    def write_pdf(self, folder: Path) -> Path:
        """Write it for print.

        Raises:
            UserError: The file cannot be written.
        """
        path = folder / f"{self.name}.pdf"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with mpl.rc_context(_STYLE):
                FigureCanvasPdf(self.figure).print_pdf(path, metadata={"CreationDate": None})
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
        return path


def mark_trial(artist: Artist, trial: pd.Series[Any], metric: str) -> None:
    """Have what is drawn of a trial tell its number and score where a page's reader points at it.

    Args:
        artist: A mark or line of the trial.
        trial: Its row of `analysis.runs.read_runs`.
        metric: The score to tell.
    """
    number, ended = trial["trial_id"], str(trial["outcome"]).replace("_", " ")
    artist.set_gid(f"trial/{number}/trial {number}: {trial[metric]:.3f}, {ended}")


def legend_above(figure: Figure, axes: Any) -> None:
    """The legend of axes, above the figure, where it covers no mark."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=7.5)


@contextmanager
def styled() -> Iterator[None]:
    """Within it figures are made in this style."""
    with mpl.rc_context(_STYLE):
        yield


def axes_of(rows: int = 1, columns: int = 1, height: float = 3.0, **more: Any) -> tuple[Any, Any]:
    """A figure and its axes, in this style.

    Args:
        rows: Rows of axes.
        columns: Columns of axes.
        height: Inches.
        more: For `Figure.subplots`.
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **more)
