"""The label curve: accuracies against the number of labels."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.declared import DeclaredRows
from analysis.tables.study_tables import ACCURACIES
from weakdis_core.config.settings import Source
from weakdis_core.paper import AccuracyRow, Published
from weakdis_core.rows import LABEL_VARIANTS, LABELS, with_labels

_DRAWN = {"Latent": "tab:blue", "Pixels": "tab:orange", "Factors": "tab:green"}


def draw_labels(declared: DeclaredRows, source: Source, published: Published) -> bytes:
    """Draw accuracies against the number of labels, with one panel for each variant.

    A dashed line and a star mark the paper's latent accuracy.

    Returns:
        A PNG file; equal numbers give equal bytes.
    """
    quoted = {row.variant: row for row in published.table1}
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, len(LABEL_VARIANTS), sharey=True, squeeze=False)[0]
    for panel, variant in zip(panels, LABEL_VARIANTS, strict=True):
        _draw_panel(panel, declared, source, quoted[variant])
    panels[0].set_ylabel("accuracy on test, all partitions right")
    panels[0].legend(fontsize="small")
    image = io.BytesIO()
    # The version of matplotlib would change the file.
    figure.savefig(image, format="png", dpi=120, metadata={"Software": None})
    return image.getvalue()


def _draw_panel(panel: Axes, declared: DeclaredRows, source: Source, quoted: AccuracyRow) -> None:
    curve = [with_labels(quoted.variant, source, size) for size in LABELS]
    for name, colour in _DRAWN.items():
        intervals = [declared.interval(row, ACCURACIES[name]) for row in curve]
        means = [interval.value for interval in intervals]
        # A single seed has no interval.
        widths = np.nan_to_num([interval.half_width for interval in intervals])
        panel.errorbar(
            LABELS, means, widths, color=colour, marker="o", ms=4, capsize=3, label=name.lower()
        )
    new = quoted.this_work
    panel.axhline(new.accuracy, color="black", linestyle="--", linewidth=1)
    panel.plot(new.labels, new.accuracy, "k*", ms=9, ls="--", lw=1, label="latent, published")
    panel.set_xscale("log")
    panel.set_xticks(LABELS, [f"{size}" for size in LABELS])
    panel.set_xlim(0.8 * min(LABELS), 1.25 * max(LABELS))
    panel.minorticks_off()
    panel.set_ylim(0, 1.03)
    panel.set_title(quoted.variant, fontsize="medium")
    panel.set_xlabel("labels")
