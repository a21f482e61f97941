"""How figures look, and how they become part of a page or a file for print.

Ink and lines are drawn in one colour that stands for the reader's own: in the page it becomes the
colour of the text, and blue that of links, so that a figure can be read on light and on dark.
Colours are Okabe and Ito's, which differ without colour vision too, and markers differ with them.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from weakdis_core.files import write_bytes

BLUE, ORANGE, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c8c8c"

ENDS = {
    "complete": (BLUE, "o", "complete"),
    "pruned": (GREY, "x", "stopped early"),
    "running": (GREEN, "^", "running"),
    "out_of_time": (ORANGE, "s", "out of time"),
    "interrupted": (ORANGE, "D", "interrupted"),
    "failed": (PINK, "v", "failed"),
}
"""Colour, marker and words for how a trial with a score ended."""

ACCURACIES = {
    "val/relation_accuracy_latent": ("latent", GREEN, ":"),
    "val/relation_accuracy_encoded": ("encoded", ORANGE, "--"),
    "val/relation_accuracy_pixels": ("pixels", BLUE, "-"),
    "val/factor_accuracy": ("factors", PINK, "-."),
}
"""Name, colour and dashes of each accuracy."""

_INK = "#1b1c1d"
_TRIAL_GROUP = r'<g id="trial/([^/"]*)/([^"]*)">'
# Matplotlib types the names of its settings one by one.
STYLE: Any = {
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
"""Settings of matplotlib: figures are made and written within `mpl.rc_context(STYLE)`."""


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
        with mpl.rc_context(STYLE):
            FigureCanvasSVG(self.figure).print_svg(text, metadata={"Date": None})
        svg = text.getvalue()[text.getvalue().index("<svg") :]
        svg = svg.replace(_INK, "currentColor").replace(BLUE, "var(--accent)")
        svg = re.sub(_TRIAL_GROUP, r'<g data-trial="\1"><title>\2</title>', svg)
        # Names are of one figure; a page has several.
        svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{self.name}-", svg)
        label = f'<svg role="img" aria-label="{self.title}" class="figure"'
        return re.sub(r"^<svg", label, re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2))

    def write_pdf(self, folder: Path) -> None:
        """Write it for print, as PDF.

        Raises:
            UserError: The file cannot be written.
        """
        content = io.BytesIO()
        with mpl.rc_context(STYLE):
            FigureCanvasPdf(self.figure).print_pdf(content, metadata={"CreationDate": None})
        write_bytes(folder / f"{self.name}.pdf", content.getvalue())


def mark_trial(artist: Artist, trial: pd.Series[Any], metric: str) -> None:
    """Make a mark or line of a trial show its number and score to a reader who points at it."""
    number, ended = trial["trial_id"], str(trial["outcome"]).replace("_", " ")
    artist.set_gid(f"trial/{number}/trial {number}: {trial[metric]:.3f}, {ended}")


def add_legend(figure: Figure, axes: Any) -> None:
    """The legend of axes, above the figure, where it covers no mark."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=7.5)


def make_axes(columns: int = 1, height: float = 3.0, **more: Any) -> tuple[Any, Any]:
    """A figure and its axes.

    Args:
        columns: Axes side by side.
        height: Inches.
        more: For `Figure.subplots`.
    """
    # As wide as a column of the page, and as a text in print.
    figure = Figure(figsize=(6.4, height), layout="constrained")
    return figure, figure.subplots(1, columns, **more)
