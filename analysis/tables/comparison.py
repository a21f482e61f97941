"""Runs side by side: the settings and results that differ. Frames in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.data.runs import COLUMNS
from analysis.tables.rendering import NOTHING, Format, write_table
from weakdis_core.errors import UserError

COMPARISON = ("kind", "name")
"""Columns of a comparison before the columns of its runs."""

_COMPARED = ("variant", "source", "stage", "seed", "outcome", "commit", "device")
_RESULTS = ("train/", "val/", "test/")


def select_runs(runs: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    """Select runs by name, in the given order.

    Args:
        runs: The frame of `analysis.data.runs.read_runs`.
        wanted: For each run its id, the beginning of its id, or `SWEEP/TRIAL`.

    Raises:
        UserError: Fewer than two names are given, or a name matches no run or several.
    """
    names = runs["sweep"].astype(str) + "/" + runs["trial_id"].astype(str)
    found = []
    for name in wanted:
        own = runs[runs["run_id"].str.startswith(name) | names.eq(name)]
        if len(own) != 1:
            reason = "there is no such run" if own.empty else f"{len(own)} runs begin so"
            raise UserError(
                f"run: {name!r} is not allowed: {reason}; a run's id or NAME/TRIAL is needed, "
                "which python -m analysis trials lists"
            )
        found.append(own)
    if len(found) < 2:
        raise UserError(f"run: {', '.join(wanted) or 'none'}: at least two are needed")
    return pd.concat(found, ignore_index=True)


def compare_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Collect what differs between two or more rows of `analysis.data.runs.read_runs`.

    Returns:
        Columns `COMPARISON` and one for each run; differing settings come before results.
    """
    rows = []
    for name in [*_COMPARED, *(name for name in runs.columns if name not in COLUMNS)]:
        values = runs[name].tolist()
        if len({NOTHING if pd.isna(value) else value for value in values}) > 1:
            kind = "result" if name.startswith(_RESULTS) or name == "seconds" else "setting"
            rows.append([kind, name, *values])
    ids = [f"{sweep}/{trial}" for sweep, trial in zip(runs["sweep"], runs["trial_id"], strict=True)]
    # Names can repeat: the same trial twice, or runs outside sweeps.
    heads = ids if len(set(ids)) == len(ids) else runs["run_id"].tolist()
    table = pd.DataFrame(rows, columns=[*COMPARISON, *heads], dtype=object)
    return table.sort_values("kind", ascending=False, kind="stable", ignore_index=True)


def write_comparison(table: pd.DataFrame, form: Format) -> str:
    """Write the frame of `compare_runs`."""
    if table.empty and form != "csv":
        return "These runs do not differ.\n"
    note = "Only differences are listed. Each score is the last one that the run reported."
    return write_table(table, table.map(_format_value), [note], form, "tab:comparison")


def _format_value(value: Any) -> str:
    if value is None or pd.isna(value):
        return NOTHING
    return f"{value:.4g}" if isinstance(value, float) else str(value)
