"""The trials of a sweep, best first. Frames in, text out."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from analysis.statistics import Interval, wilson_interval
from analysis.sweep import Sweep
from analysis.text import NOTHING, Format, count, mean, write

LEADERBOARD = ("trial", "outcome", "score", "low", "high", "step", "seconds", "run_id")
"""Columns of a leaderboard that every sweep has; the settings searched stand before `step`."""

DIMMED = ("pruned", "failed", "out_of_time", "interrupted")
"""Ends of trials that did not get as far as a result."""


def leaderboard(sweep: Sweep) -> pd.DataFrame:
    """The trials of a sweep's search, best first.

    Returns:
        Columns `LEADERBOARD`, and one for each setting searched: `score` is the sweep's metric at
        the last report that has it, `low` and `high` its Wilson interval over the validation
        images judged, NaN where there is no score yet.
    """
    trials, names = sweep.trials, list(sweep.space)
    score = trials.get(sweep.metric, pd.Series(float("nan"), trials.index))
    images = trials.get("training.evaluation_samples", pd.Series(float("nan"), trials.index))
    intervals = [
        wilson_interval(round(value * n), int(n)) if pd.notna(value) and pd.notna(n) else None
        for value, n in zip(score, images, strict=True)
    ]
    table = pd.DataFrame(
        {
            "trial": trials["trial_id"],
            "outcome": trials["outcome"],
            "score": score,
            "low": [interval.low if interval else float("nan") for interval in intervals],
            "high": [interval.high if interval else float("nan") for interval in intervals],
            **{name: trials.get(name) for name in names},
            "step": sweep.last_steps,
            "seconds": trials["seconds"],
            "run_id": trials["run_id"],
        }
    )
    # A trial that was stopped early is below all that went to the end: its score is not the same.
    whole = table["outcome"].eq("complete")
    order = table.assign(whole=whole).sort_values(
        ["whole", "score"], ascending=False, na_position="last", kind="stable"
    )
    return order.drop(columns="whole").reset_index(drop=True)


def note_on(sweep: Sweep) -> str:
    """What stands beneath a leaderboard."""
    return (
        f"Score: {sweep.metric} of one seed; ± is half the width of its 95% Wilson interval over "
        "the validation images judged. Trials that were stopped early show the score they had then."
    )


def write_leaderboard(table: pd.DataFrame, form: Format, note: str) -> str:
    """A leaderboard as text: CSV holds every number, the other forms what a reader needs.

    Args:
        table: The frame of `leaderboard`.
        form: Format of the text.
        note: What stands beneath it.
    """
    if form == "csv":
        return table.to_csv(index=False)
    dim = table["outcome"].isin(DIMMED).tolist()
    return write(words(table), [note], form, "tab:trials", dim=dim)


def print_leaderboard(table: pd.DataFrame, title: str, note: str, console: Console) -> None:
    """Print a leaderboard; trials that did not get to their end are dimmed."""
    shown = words(table)
    printed = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in shown.columns:
        # Heads may take two lines; what is in the cells stays whole in a terminal of 80 columns.
        printed.add_column(name.replace(" ", "\n"), no_wrap=True)
    for dim, (_, row) in zip(table["outcome"].isin(DIMMED), shown.iterrows(), strict=True):
        printed.add_row(*row, style="dim" if dim else None)
    console.print(printed)
    console.print(note, highlight=False)


def words(table: pd.DataFrame) -> pd.DataFrame:
    """A leaderboard as it is read."""
    return pd.DataFrame([_words(row) for _, row in table.iterrows()])


def _words(row: pd.Series[Any]) -> dict[str, str]:
    searched = [name for name in row.index if name not in LEADERBOARD]
    return {
        "Trial": str(row["trial"]),
        "Ended": str(row["outcome"]).replace("_", " "),
        "Score": mean(Interval(row["score"], row["low"], row["high"], 1)),
        **{name.rpartition(".")[2].replace("_", " "): _value(row[name]) for name in searched},
        "Step": count(row["step"]),
        "Minutes": NOTHING if pd.isna(row["seconds"]) else f"{row['seconds'] / 60:.1f}",
    }


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) and value % 1 else count(value)
