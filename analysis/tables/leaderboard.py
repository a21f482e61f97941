"""The leaderboard: the trials of a sweep, best first. Frames in, text out."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from analysis.data.runs import count_validation
from analysis.data.tracked_sweep import TrackedSweep
from analysis.statistics import UNDEFINED, Interval, wilson_interval
from analysis.tables.rendering import (
    Format,
    format_mean,
    format_setting,
    format_value,
    setting_name,
    write_table,
)

LEADERBOARD = ("trial", "outcome", "score", "low", "high", "step", "seconds", "run_id")
"""Columns of every leaderboard; the searched settings stand before `step`."""

DIMMED = ("pruned", "failed", "out_of_time", "interrupted")
"""Outcomes of trials that ended before their last step."""


def build_leaderboard(sweep: TrackedSweep) -> pd.DataFrame:
    """Build the leaderboard of a sweep's search trials.

    Returns:
        Columns `LEADERBOARD`, and one for each searched setting. `score` is the last reported value
        of the sweep's metric; `low` and `high` are the ends of its Wilson interval over validation
        images. They are NaN for a trial without a score.
    """
    searched = list(sweep.space)
    wanted = dict.fromkeys([*sweep.trials, sweep.metric, *searched])
    trials = sweep.trials.reindex(columns=list(wanted))
    images = [count_validation(row) for _, row in sweep.trials.iterrows()]
    intervals = [
        UNDEFINED if n is None or pd.isna(score) else wilson_interval(round(score * n), n)
        for score, n in zip(trials[sweep.metric], images, strict=True)
    ]
    table = trials.rename(columns={"trial_id": "trial", sweep.metric: "score"}).assign(
        low=[interval.low for interval in intervals],
        high=[interval.high for interval in intervals],
        step=trials["step"].astype("Int64"),
        # Complete trials come first: scores of trials stopped early are not comparable.
        whole=trials["outcome"].eq("complete"),
    )
    table = table.sort_values(["whole", "score"], ascending=False, kind="stable", ignore_index=True)
    return table[[*LEADERBOARD[:5], *searched, *LEADERBOARD[5:]]]


def explain_leaderboard(sweep: TrackedSweep) -> str:
    """Write the note below a leaderboard."""
    first = f"{sweep.deficit} " if sweep.deficit else ""
    return first + (
        f"Score: {sweep.metric} of one seed; ± is half the width of its 95% Wilson interval over "
        "validation images. A trial that was stopped early shows its score at that time."
    )


def write_leaderboard(table: pd.DataFrame, form: Format, note: str) -> str:
    """Write the frame of `build_leaderboard` with a note; only CSV has every number."""
    dim = table["outcome"].isin(DIMMED).tolist()
    return write_table(table, format_cells(table), [note], form, "tab:trials", dim=dim)


def print_leaderboard(table: pd.DataFrame, title: str, note: str, console: Console) -> None:
    """Print the frame of `build_leaderboard`, with `DIMMED` trials dimmed."""
    shown = format_cells(table)
    printed = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in shown.columns:
        # Two-line heads leave room for whole cells in a terminal of 80 columns.
        printed.add_column(name.replace(" ", "\n"), no_wrap=True)
    for dim, (_, row) in zip(table["outcome"].isin(DIMMED), shown.iterrows(), strict=True):
        printed.add_row(*row, style="dim" if dim else None)
    console.print(printed)
    console.print(note, highlight=False)


def format_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Format the cells of a leaderboard."""
    return pd.DataFrame([_format_row(row) for _, row in table.iterrows()])


def _format_row(row: pd.Series[Any]) -> dict[str, str]:
    searched = [name for name in row.index if name not in LEADERBOARD]
    return {
        "Trial": str(row["trial"]),
        "Ended": str(row["outcome"]).replace("_", " "),
        "Score": format_mean(Interval(row["score"], row["low"], row["high"], 1)),
        **{setting_name(name): format_setting(row[name]) for name in searched},
        "Step": format_value(row["step"]),
        "Minutes": format_value(row["seconds"] / 60, 1),
    }
