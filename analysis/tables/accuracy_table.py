"""Table 1: relation accuracies of the paper and ours. Frames in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.data.selection import (
    DESCRIPTION,
    PRESET,
    build_table,
    count_unconfirmed,
    score_columns,
    select_rows,
)
from analysis.tables.rendering import (
    NOTHING,
    Format,
    format_score,
    format_subset,
    format_value,
    write_notes,
    write_table,
)
from weakdis_core.paper import Published

METRICS = {
    "latent": "test/relation_accuracy_latent",
    "encoded": "test/relation_accuracy_encoded",
    "pixels": "test/relation_accuracy_pixels",
    "factor": "test/factor_accuracy",
    "covered": "test/coverage",
    "ceiling": "test/identifiability_ceiling",
    "oracle": "test/oracle_accuracy",
    "softened": "test/oracle_accuracy_softened",
}
"""Measured columns and their metrics."""

_PAPER = ("previous_accuracy", "previous_labels", "paper_accuracy", "paper_labels")
_QUOTED = ("variant", "combinations", *_PAPER, "paper_citation")
TABLE1 = (*dict.fromkeys([*_QUOTED, *DESCRIPTION]), *score_columns(METRICS))
"""Columns of Table 1."""

SHORT = (
    "Variant", "Previous work (labels)", "Paper (labels)", "Latent", "Encoded", "Pixels", "Factors",
    "Oracle",
)  # fmt: skip
"""Columns of the preset's rows in the README."""

COLUMNS = (*SHORT[:3], "Model", "Data", "Labels", "Seeds", *SHORT[3:])
"""Columns of all rows."""

WIDE = ("Variant", "Combinations", *COLUMNS[1:4], *COLUMNS[5:], "Softened", "Ceiling")
"""Columns of the rows of one data source in `docs/results.md`."""


def build_table1(runs: pd.DataFrame, published: Published) -> pd.DataFrame:
    """Build Table 1 from the paper's relation accuracies and ours.

    Returns:
        Columns `TABLE1` (see `TableRow.summarize`), one line for each row of
        `selection.select_rows`. A variant without rows has one line with missing scores; a variant
        that the paper lacks comes last.
    """
    measured = [row.summarize(METRICS) for row in select_rows(runs)]
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
        own = [line for line in measured if line["variant"] == row.variant]
        lines += [quoted | line for line in own or [{}]]
    known = {row.variant for row in published.table1}
    lines += [line for line in measured if line["variant"] not in known]
    return build_table(lines, TABLE1)


def write_table1(runs: pd.DataFrame, published: Published, form: Format) -> str:
    """Write Table 1; only CSV has every number."""
    table = build_table1(runs, published)
    shown = format_cells(table, COLUMNS)
    waiting = count_unconfirmed(runs, [row.variant for row in published.table1])
    notes = [*explain_table1(published), *write_notes(shown, waiting)]
    return write_table(table, shown, notes, form, "tab:relation-accuracy")


def format_cells(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Format the cells of Table 1.

    Args:
        table: The frame of `build_table1`.
        columns: `COLUMNS`, `WIDE` or `SHORT`, which keeps one line for each variant: the preset's.
    """
    if columns == SHORT:
        others = table["model"].ne(PRESET)
        table = table.mask(others.to_numpy()[:, None] & ~table.columns.isin(_QUOTED))
        table = table.sort_values("model", kind="stable").drop_duplicates("variant").sort_index()
    return pd.DataFrame([_format_row(row) for _, row in table.iterrows()], columns=list(columns))


def explain_table1(published: Published) -> list[str]:
    """Explain the columns of Table 1."""
    return [
        "Accuracies on test, every partition right; ± is half the width of the 95% t-interval over "
        "seeds. The oracle, a classifier, judges Pixels; its own accuracy stands beside.",
        f"Columns Previous work and Paper quote latent accuracies from {published.cite()}, which "
        "gives no intervals.",
        "Ours, preset: the default preset on the declared seeds. Ours, confirmed: a configuration "
        "that a sweep found, trained again on fresh seeds. Previous work: its model, trained here; "
        "(of 0.926) is the share of combinations of factor values for which it has a component, "
        "where that is below 1. All its accuracies but Factors cover these combinations only. "
        "few_labels and zerodim: the models of Locatello et al. and Gabbay et al., trained here; "
        "they have no priors to draw codes from, so their latent accuracy is not defined.",
    ]


def _format_row(row: pd.Series[Any]) -> dict[str, str]:
    share = f" (of {row['covered']:.3f})" if row["covered"] < 1 else ""
    return {
        "Variant": str(row["variant"]),
        "Combinations": format_value(row["combinations"]),
        "Previous work (labels)": _format_quoted(row["previous_accuracy"], row["previous_labels"]),
        "Paper (labels)": _format_quoted(row["paper_accuracy"], row["paper_labels"]),
        "Model": format_value(row["model"]),
        "Data": format_value(row["source"]),
        "Labels": format_subset(row),
        "Seeds": format_value(row["seeds"]),
        "Latent": format_score(row, "latent") + share,
        "Encoded": format_score(row, "encoded") + share,
        "Pixels": format_score(row, "pixels") + share,
        "Factors": format_score(row, "factor"),
        "Oracle": format_value(row["oracle"], 3),
        "Softened": format_value(row["softened"], 3),
        "Ceiling": format_value(row["ceiling"], 3),
    }


def _format_quoted(accuracy: Any, labels: Any) -> str:
    return NOTHING if pd.isna(accuracy) else f"{accuracy:.3f} ({labels})"
