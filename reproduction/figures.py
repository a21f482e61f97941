"""The label curve as a picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reproduction import cells
from reproduction.evidence import Evidence
from reproduction.tables import ACCURACIES
from weakdis_core.files import write_bytes
from weakdis_core.paper import AccuracyRow, Published
from weakdis_core.settings import Source

_DRAWN = {"Latent": "tab:blue", "Pixels": "tab:orange", "Factors": "tab:green"}


def draw_labels(evidence: Evidence, source: Source, published: Published, path: Path) -> None:
    """Draw accuracies against the number of labels, a panel for each variant, as a PNG.

    Args:
        evidence: Where the scores are.
        source: Of which data.
        published: The paper's latent accuracy, drawn as a line with its point.
        path: The file to write.

    Raises:
        UserError: The file cannot be written.
    """
    quoted = {row.variant: row for row in published.table1}
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(cells.LABEL_VARIANTS), sharey=True, squeeze=False)[0]
    for panel, variant in zip(panels, cells.LABEL_VARIANTS, strict=True):
        _panel(panel, evidence, source, quoted[variant])
    panels[0].set_ylabel("accuracy on test, all partitions right")
    panels[0].legend(fontsize="small")
    image = io.BytesIO()
    # Without the library's version the same numbers give the same file.
    figure.savefig(image, format="png", dpi=120, metadata={"Software": None})
    write_bytes(path, image.getvalue())


def _panel(panel: Axes, evidence: Evidence, source: Source, quoted: AccuracyRow) -> None:
    rows = {n: cells.with_labels(quoted.variant, source, n) for n in cells.LABELS}
    for name, colour in _DRAWN.items():
        intervals = [evidence.interval(row, ACCURACIES[name]) for row in rows.values()]
        means = [interval.value for interval in intervals]
        # One seed has no interval.
        widths = np.nan_to_num([interval.half_width for interval in intervals])
        label = name.lower()
        panel.errorbar(
            list(rows), means, widths, color=colour, marker="o", ms=4, capsize=3, label=label
        )
    new = quoted.this_work
    panel.axhline(new.accuracy, color="black", linestyle="--", linewidth=1)
    panel.plot(new.labels, new.accuracy, "k*", ms=9, ls="--", lw=1, label="latent, published")
    panel.set_xscale("log")
    panel.set_xticks(list(rows), [f"{n}" for n in rows])
    panel.set_xlim(0.8 * min(rows), 1.25 * max(rows))
    panel.minorticks_off()
    panel.set_ylim(0, 1.03)
    panel.set_title(quoted.variant, fontsize="medium")
    panel.set_xlabel("labels")
