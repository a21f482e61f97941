"""The trials of a sweep, best first. Frames in, text out."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from analysis.data.tracked_sweep import TrackedSweep
from analysis.statistics import UNDEFINED, Interval, wilson_interval
from analysis.tables.rendering import (
    Format,
    format_count,
    format_mean,
    format_number,
    setting_name,
    write_table,
)

LEADERBOARD = ("trial", "outcome", "score", "low", "high", "step", "seconds", "run_id")
"""Columns of a leaderboard that every sweep has; the settings searched stand before `step`."""

DIMMED = ("pruned", "failed", "out_of_time", "interrupted")
"""Ends of trials that did not get as far as a result."""


def build_leaderboard(sweep: TrackedSweep) -> pd.DataFrame:
    """The trials of a sweep's search, best first.

    Returns:
        Columns `LEADERBOARD`, and one for each setting searched: `score` is the sweep's metric at
        the last report that has it, `low` and `high` its Wilson interval over the validation
        images judged, NaN where there is no score yet.
    """
    images, searched = "training.evaluation_samples", list(sweep.space)
    wanted = dict.fromkeys([*sweep.trials, sweep.metric, images, *searched])
    trials = sweep.trials.reindex(columns=list(wanted))
    intervals = [
        UNDEFINED if pd.isna(score * n) else wilson_interval(round(score * n), int(n))
        for score, n in zip(trials[sweep.metric], trials[images], strict=True)
    ]
    table = trials.rename(columns={"trial_id": "trial", sweep.metric: "score"}).assign(
        low=[interval.low for interval in intervals],
        high=[interval.high for interval in intervals],
        step=trials["step"].astype("Int64"),
        # A trial that was stopped early is below all that went to the end: its score is another.
        whole=trials["outcome"].eq("complete"),
    )
    table = table.sort_values(["whole", "score"], ascending=False, kind="stable", ignore_index=True)
    return table[[*LEADERBOARD[:5], *searched, *LEADERBOARD[5:]]]


def explain_leaderboard(sweep: TrackedSweep) -> str:
    """What stands beneath a leaderboard."""
    first = f"{sweep.deficit} " if sweep.deficit else ""
    return first + (
        f"Score: {sweep.metric} of one seed; ± is half the width of its 95% Wilson interval over "
        "the validation images judged. Trials that were stopped early show the score they had then."
    )


def write_leaderboard(table: pd.DataFrame, form: Format, note: str) -> str:
    """Write a `build_leaderboard` and a note: CSV holds every number, other forms what a reader needs."""
    if form == "csv":
        return table.to_csv(index=False)
    dim = table["outcome"].isin(DIMMED).tolist()
    return write_table(format_cells(table), [note], form, "tab:trials", dim=dim)


def print_leaderboard(table: pd.DataFrame, title: str, note: str, console: Console) -> None:
    """Print a leaderboard; trials that did not get to their end are dimmed."""
    shown = format_cells(table)
    printed = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in shown.columns:
        # Heads may take two lines; what is in the cells stays whole in a terminal of 80 columns.
        printed.add_column(name.replace(" ", "\n"), no_wrap=True)
    for dim, (_, row) in zip(table["outcome"].isin(DIMMED), shown.iterrows(), strict=True):
        printed.add_row(*row, style="dim" if dim else None)
    console.print(printed)
    console.print(note, highlight=False)


def format_cells(table: pd.DataFrame) -> pd.DataFrame:
    """A leaderboard as it is read."""
    return pd.DataFrame([_format_row(row) for _, row in table.iterrows()])


def _format_row(row: pd.Series[Any]) -> dict[str, str]:
    searched = [name for name in row.index if name not in LEADERBOARD]
    return {
        "Trial": str(row["trial"]),
        "Ended": str(row["outcome"]).replace("_", " "),
        "Score": format_mean(Interval(row["score"], row["low"], row["high"], 1)),
        **{setting_name(name): _value(row[name]) for name in searched},
        "Step": format_count(row["step"]),
        "Minutes": format_number(row["seconds"] / 60, 1),
    }


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) and value % 1 else format_count(value)
