"""Frames of runs -> frames of cells -> text. Nothing here reads a store or a file."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from analysis.published import Published
from analysis.statistics import t_interval

Format = Literal["md", "csv", "latex"]

METRICS = {
    "latent": "test/relation_accuracy_latent",
    "encoded": "test/relation_accuracy_encoded",
    "pixels": "test/relation_accuracy_pixels",
    "factor": "test/factor_accuracy",
    "oracle": "test/oracle_accuracy",
}
"""Measured columns of Table 1 and the metrics behind them."""

FEWEST_SEEDS = 5
"""A cell of fewer seeds is preliminary."""

# Between several configurations the choice is made on validation, never on what is shown.
_CHOICE = "val/relation_accuracy_pixels"

_QUOTED = (
    "combinations",
    "previous_accuracy",
    "previous_labels",
    "paper_accuracy",
    "paper_labels",
    "paper_citation",
)
_MEASURED = (
    "source",
    "stage",
    "config_hash",
    "labels",
    "seeds",
    *(f"{name}{end}" for name in METRICS for end in ("", "_low", "_high", "_seeds")),
)
TABLE1 = ("variant", *_QUOTED, *_MEASURED)
"""Columns of Table 1."""

_SEARCH, _PRELIMINARY, _NOTHING = "†", "‡", "-"
_LATEX = {
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "±": r"$\pm$",
}


def results(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs whose test metrics may be shown.

    Those evaluated on test that neither failed nor are still running; a sweep's best trial may have
    been stopped early, so KILLED counts. Where a variant and data source have confirm runs, search
    runs are left out. A configuration run twice on one seed counts once, the later time.
    """
    needed = [*METRICS.values(), _CHOICE, "data.labels"]
    absent = [name for name in needed if name not in runs.columns]
    runs = runs.reindex(columns=[*runs.columns, *absent])
    ended = runs["status"].isin(["FINISHED", "KILLED"])
    shown = runs[ended & runs[METRICS["latent"]].notna()].sort_values("started", kind="stable")
    confirmed = shown["stage"].eq("confirm")
    replaced = confirmed.groupby([shown["variant"], shown["source"]]).transform("any")
    shown = shown[confirmed | ~replaced]
    return shown.drop_duplicates(["variant", "source", "config_hash", "seed"], keep="last")


def table1(runs: pd.DataFrame, published: Published) -> pd.DataFrame:
    """Relation accuracies: the paper's and ours.

    Args:
        runs: The frame of `analysis.runs.read_runs`.
        published: The paper's numbers.

    Returns:
        Columns `TABLE1`: a row for each variant and data source measured, and one for a published
        variant not measured yet. The measured row is one configuration, that with the most seeds
        and then the best on validation. Scores are means over seeds, with the ends of the 95%
        t-interval (`_low`, `_high`) and the number of seeds that have them (`_seeds`).
    """
    measured = [_cells(_chosen(cell)) for _, cell in results(runs).groupby(["variant", "source"])]
    rows: list[dict[str, Any]] = []
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
        ours = [cells for cells in measured if cells["variant"] == row.variant]
        rows += [quoted | cells for cells in ours or [{}]]
    known = {row.variant for row in published.table1}
    rows += [cells for cells in measured if cells["variant"] not in known]
    table = pd.DataFrame(rows).reindex(columns=list(TABLE1))
    counts = ["combinations"] + [name for name in TABLE1 if name.endswith(("labels", "seeds"))]
    return table.astype(dict.fromkeys(counts, "Int64"))


def _chosen(cell: pd.DataFrame) -> pd.DataFrame:
    """The runs of one configuration: a mean over several would describe none of them."""
    configurations = cell.groupby("config_hash").agg(
        seeds=("seed", "size"), choice=(_CHOICE, "mean"), started=("started", "max")
    )
    ranked = configurations.sort_values(["seeds", "choice", "started"], na_position="first")
    chosen: pd.DataFrame = cell[cell["config_hash"] == ranked.index[-1]]
    return chosen


def _cells(seeds: pd.DataFrame) -> dict[str, Any]:
    names = {"variant": "variant", "labels": "data.labels"}
    names |= {name: name for name in ("source", "stage", "config_hash")}
    cells: dict[str, Any] = {name: seeds[column].iloc[0] for name, column in names.items()}
    cells["seeds"] = len(seeds)
    for name, metric in METRICS.items():
        interval = t_interval(seeds[metric].to_numpy(dtype=float))
        cells[name] = interval.value
        cells[f"{name}_low"] = interval.low
        cells[f"{name}_high"] = interval.high
        cells[f"{name}_seeds"] = interval.n
    return cells


def write_table1(table: pd.DataFrame, published: Published, form: Format) -> str:
    """Table 1 as text: CSV holds every number, Markdown and LaTeX (booktabs) what a reader needs.

    Args:
        table: The frame of `table1`.
        published: Whose citation stands beneath the quoted numbers.
        form: Format of the text.
    """
    if form == "csv":
        return table.to_csv(index=False)
    shown = pd.DataFrame([_display(row) for _, row in table.iterrows()])
    notes = _notes(shown, published)
    align = ["left"] + ["right"] * (len(shown.columns) - 1)
    if form == "md":
        text = shown.to_markdown(index=False, disable_numparse=True, colalign=align)
        return f"{text}\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"
    text = shown.to_latex(
        index=False,
        escape=True,
        column_format="".join(side[0] for side in align),
        caption=" ".join(notes).replace("%", r"\%"),
        label="tab:relation-accuracy",
        position="t",
    )
    for symbol, command in _LATEX.items():
        text = text.replace(symbol, command)
    return text


def _display(row: pd.Series[Any]) -> dict[str, str]:
    return {
        "Variant": str(row["variant"]),
        "Combinations": _count(row["combinations"]),
        "Previous work (labels)": _quoted(row["previous_accuracy"], row["previous_labels"]),
        "Modular, paper (labels)": _quoted(row["paper_accuracy"], row["paper_labels"]),
        "Data": _NOTHING if pd.isna(row["source"]) else str(row["source"]),
        "Labels": _count(row["labels"]),
        "Seeds": _count(row["seeds"]),
        "Latent": _score(row, "latent"),
        "Encoded": _score(row, "encoded"),
        "Pixels": _score(row, "pixels"),
        "Factors": _score(row, "factor"),
        "Oracle": _score(row, "oracle"),
    }


def _count(value: Any) -> str:
    return _NOTHING if pd.isna(value) else f"{value}"


def _quoted(accuracy: Any, labels: Any) -> str:
    return _NOTHING if pd.isna(accuracy) else f"{accuracy:.3f} ({labels})"


def _score(row: pd.Series[Any], name: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if pd.isna(value):
        return _NOTHING
    interval = "" if pd.isna(low) else f" ± {(high - low) / 2:.3f}"
    search = _SEARCH if row["stage"] != "confirm" else ""
    preliminary = _PRELIMINARY if row[f"{name}_seeds"] < FEWEST_SEEDS else ""
    mark = f" {search}{preliminary}" if search or preliminary else ""
    return f"{value:.3f}{interval}{mark}"


def _notes(shown: pd.DataFrame, published: Published) -> list[str]:
    cells = "".join(shown.to_numpy().ravel())
    notes = [
        "Accuracies on test, every partition right; ± is half the width of the 95% t-interval over "
        "seeds. Pixels are judged by a classifier whose own accuracy is under Oracle.",
        "Previous work and Modular are latent accuracies quoted from "
        f"{published.cite()}; they carry no interval.",
    ]
    if _PRELIMINARY in cells:
        notes.append(f"{_PRELIMINARY} Preliminary: fewer than {FEWEST_SEEDS} seeds.")
    if _SEARCH in cells:
        notes.append(
            f"{_SEARCH} A search result: a sweep's best trial on validation, evaluated once on "
            "test; not confirmed on fresh seeds."
        )
    return notes
