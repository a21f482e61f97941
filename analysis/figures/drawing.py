"""Style of the figures, and their conversion to SVG for a page and to PDF for print.

In a page, ink takes the colour of the text and blue that of links, so figures fit light and dark
pages. The colours are Okabe and Ito's, which colour-blind readers can distinguish.
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

OUTCOMES = {
    "complete": (BLUE, "o", "complete"),
    "pruned": (GREY, "x", "stopped early"),
    "running": (GREEN, "^", "running"),
    "out_of_time": (ORANGE, "s", "out of time"),
    "interrupted": (ORANGE, "D", "interrupted"),
    "failed": (PINK, "v", "failed"),
}
"""Colour, marker and label of each outcome of a trial."""

ACCURACIES = {
    "val/relation_accuracy_latent": ("latent", GREEN, ":"),
    "val/relation_accuracy_encoded": ("encoded", ORANGE, "--"),
    "val/relation_accuracy_pixels": ("pixels", BLUE, "-"),
    "val/factor_accuracy": ("factors", PINK, "-."),
}
"""Label, colour and dashes of each accuracy."""

_INK = "#1b1c1d"
_TRIAL_GROUP = r'<g id="trial/([^/"]*)/([^"]*)">'
# `Any`, because matplotlib types its settings as literals.
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
    # Text instead of outlines: readers can search it, and files are ten times smaller.
    "svg.fonttype": "none",
    "svg.hashsalt": "weakdis",
    "pdf.fonttype": 42,
}
"""Settings of matplotlib; create and write figures within `mpl.rc_context(STYLE)`."""


@dataclass(frozen=True)
class Drawing:
    """A figure with its description.

    Attributes:
        name: Name of the file, and anchor in the page.
        title: Short title.
        sentence: What the figure shows and how to read it.
        figure: The figure.
    """

    name: str
    title: str
    sentence: str
    figure: Figure

    def svg(self) -> str:
        """Return the figure as SVG in the colours of the page, with tooltips on trials."""
        text = io.StringIO()
        with mpl.rc_context(STYLE):
            FigureCanvasSVG(self.figure).print_svg(text, metadata={"Date": None})
        svg = text.getvalue()[text.getvalue().index("<svg") :]
        svg = svg.replace(_INK, "currentColor").replace(BLUE, "var(--accent)")
        svg = re.sub(_TRIAL_GROUP, r'<g data-trial="\1"><title>\2</title>', svg)
        # Names must be unique among the figures of a page.
        svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{self.name}-", svg)
        label = f'<svg role="img" aria-label="{self.title}" class="figure"'
        return re.sub(r"^<svg", label, re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2))

    def write_pdf(self, folder: Path) -> None:
        """Write the figure as a PDF file into a folder.

        Raises:
            UserError: The file cannot be written.
        """
        content = io.BytesIO()
        with mpl.rc_context(STYLE):
            FigureCanvasPdf(self.figure).print_pdf(content, metadata={"CreationDate": None})
        write_bytes(folder / f"{self.name}.pdf", content.getvalue())


def mark_trial(artist: Artist, trial: pd.Series[Any], metric: str) -> None:
    """Add a tooltip with number, score and outcome to the mark or line of a trial."""
    number, ended = trial["trial_id"], str(trial["outcome"]).replace("_", " ")
    artist.set_gid(f"trial/{number}/trial {number}: {trial[metric]:.3f}, {ended}")


def add_legend(figure: Figure, axes: Any) -> None:
    """Add the legend of axes above the figure, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=7.5)


def make_axes(columns: int = 1, height: float = 3.0, **more: Any) -> tuple[Any, Any]:
    """Create a figure and its axes.

    Args:
        columns: Number of axes, side by side.
        height: Height in inches.
        more: Arguments of `Figure.subplots`.
    """
    # The width of a column of the page, and of printed text.
    figure = Figure(figsize=(6.4, height), layout="constrained")
    return figure, figure.subplots(1, columns, **more)
