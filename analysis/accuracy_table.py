"""Table 1: relation accuracies, the paper's and ours. Frames in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.selection import DESCRIPTION, columns_of, row_of, rows
from analysis.text import NOTHING, Format, count, notes_on, score, write
from weakdis_core.paper import Published

METRICS = {
    "latent": "test/relation_accuracy_latent",
    "encoded": "test/relation_accuracy_encoded",
    "pixels": "test/relation_accuracy_pixels",
    "factor": "test/factor_accuracy",
    "oracle": "test/oracle_accuracy",
}
"""Measured columns and the metrics behind them."""

_QUOTED = (
    "combinations",
    "previous_accuracy",
    "previous_labels",
    "paper_accuracy",
    "paper_labels",
    "paper_citation",
)
TABLE1 = (
    "variant",
    *_QUOTED,
    *(name for name in DESCRIPTION if name != "variant"),
    *columns_of(METRICS),
)
"""Columns of Table 1."""


def table1(runs: pd.DataFrame, published: Published) -> pd.DataFrame:
    """Relation accuracies: the paper's and ours.

    Args:
        runs: The frame of `analysis.runs.read_runs`.
        published: The paper's numbers.

    Returns:
        Columns `TABLE1`: a row for each variant and data source with confirm runs, and one for a
        published variant without, its scores missing. A row is one configuration; scores are as
        `analysis.selection.row_of` gives them.
    """
    measured = [row_of(seeds, METRICS) for seeds in rows(runs)]
    lines: list[dict[str, Any]] = []
    for row in published.table1:
        quoted: dict[str, Any] = {
            "variant": row.variant,
            "combinations": row.combinations,
            "previous_accuracy": row.previous_work.accuracy,
            "previous_labels": row.previous_work.labels,
            "paper_accuracy": row.this_work.accuracy,
            "paper_labels": row.this_work.labels,
            "paper_citation": published.cite(),
        }
        ours = [line for line in measured if line["variant"] == row.variant]
        lines += [quoted | line for line in ours or [{}]]
    known = {row.variant for row in published.table1}
    lines += [line for line in measured if line["variant"] not in known]
    table = pd.DataFrame(lines).reindex(columns=list(TABLE1))
    counts = ["combinations"] + [name for name in TABLE1 if name.endswith(("labels", "seeds"))]
    return table.astype(dict.fromkeys(counts, "Int64"))


def write_table1(
    table: pd.DataFrame, published: Published, form: Format, waiting: Mapping[str, int]
) -> str:
    """Table 1 as text: CSV holds every number, Markdown and LaTeX what a reader needs.

    Args:
        table: The frame of `table1`.
        published: Whose citation stands beneath the quoted numbers.
        form: Format of the text.
        waiting: Variants without a row of ours, with the number of search results not shown.
    """
    if form == "csv":
        return table.to_csv(index=False)
    shown = pd.DataFrame([_words(row) for _, row in table.iterrows()])
    notes = [
        "Accuracies on test, every partition right; ± is half the width of the 95% t-interval over "
        "seeds. Pixels are judged by a classifier whose own accuracy is under Oracle.",
        "Previous work and Modular are latent accuracies quoted from "
        f"{published.cite()}; they carry no interval.",
        *notes_on(shown, waiting),
    ]
    return write(shown, notes, form, "tab:relation-accuracy", words=1)


def _words(row: pd.Series[Any]) -> dict[str, str]:
    return {
        "Variant": str(row["variant"]),
        "Combinations": count(row["combinations"]),
        "Previous work (labels)": _quoted(row["previous_accuracy"], row["previous_labels"]),
        "Modular, paper (labels)": _quoted(row["paper_accuracy"], row["paper_labels"]),
        "Data": count(row["source"]),
        "Labels": count(row["labels"]),
        "Seeds": count(row["seeds"]),
        "Latent": score(row, "latent"),
        "Encoded": score(row, "encoded"),
        "Pixels": score(row, "pixels"),
        "Factors": score(row, "factor"),
        "Oracle": score(row, "oracle"),
    }


def _quoted(accuracy: Any, labels: Any) -> str:
    return NOTHING if pd.isna(accuracy) else f"{accuracy:.3f} ({labels})"
