"""Runs side by side: the settings and results that differ. Frames in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from analysis.data.runs import COLUMNS
from analysis.tables.rendering import NOTHING, Format, write_table
from weakdis_core.errors import UserError

COMPARISON = ("kind", "name")
"""Columns of a comparison before the columns of its runs."""

_COMPARED = ("variant", "source", "stage", "seed", "outcome", "commit", "device")
_RESULTS = ("train/", "val/", "test/", "cpu_seconds", "scoring_seconds")
_SCORES = (
    *(f"relation_accuracy_{kind}" for kind in ("pixels", "encoded", "latent")),
    "factor_accuracy",
    "reconstruction_psnr",
)
_HEADLINE = [
    *(f"{part}/{score}" for part in ("val", "test") for score in _SCORES),
    "train/reconstruction",
    "seconds",
]
_NOTE = (
    "Settings that differ, the labels, and the headline scores, each the last one that the run "
    "reported. `--all` adds every other score that differs."
)


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
                "which `weakdis tables trials` lists"
            )
        found.append(own)
    if len(found) < 2:
        raise UserError(f"run: {', '.join(wanted) or 'none'}: at least two are needed")
    return pd.concat(found, ignore_index=True)


def compare_runs(runs: pd.DataFrame, every: bool = False) -> pd.DataFrame:
    """Collect what differs between two or more rows of `analysis.data.runs.read_runs`.

    Args:
        runs: The runs.
        every: Whether to add the scores that differ beside the headline ones.

    Returns:
        Columns `COMPARISON` and one for each run: the settings that differ and the labels, the
        headline scores, and then the others.
    """
    settings, headline, others = [], [], []
    for name in [*_COMPARED, *(name for name in runs.columns if name not in COLUMNS)]:
        values = runs[name].tolist()
        differs = len({NOTHING if pd.isna(value) else value for value in values}) > 1
        if name in _HEADLINE:
            headline.append(["result", name, *values])
        elif name.startswith(_RESULTS):
            others.extend([["result", name, *values]] * (differs and every))
        elif differs or name == "data.labels":
            settings.append(["setting", name, *values])
    headline.sort(key=lambda row: _HEADLINE.index(row[1]))
    ids = [f"{sweep}/{trial}" for sweep, trial in zip(runs["sweep"], runs["trial_id"], strict=True)]
    # Names can repeat: the same trial twice, or runs outside sweeps.
    heads = ids if len(set(ids)) == len(ids) else runs["run_id"].tolist()
    rows = [*settings, *headline, *others]
    return pd.DataFrame(rows, columns=[*COMPARISON, *heads], dtype=object)


def write_comparison(table: pd.DataFrame, form: Format) -> str:
    """Write the frame of `compare_runs`."""
    return write_table(table, _format_cells(table), [_NOTE], form, "tab:comparison")


def print_comparison(table: pd.DataFrame, console: Console) -> None:
    """Print the frame of `compare_runs`, in blocks of as many runs as fit side by side."""
    shown, heads = _format_cells(table), table.columns[len(COMPARISON) :]
    sweeps = {head.rpartition("/")[0] for head in heads}
    # A sweep that all runs belong to is the title; else each column has its own above the trial.
    title, split = (sweeps.pop(), -1) if len(sweeps) == 1 else ("", None)
    titles = {head: "\n".join(head.rsplit("/", 1)[split:]) for head in heads}
    names = [_in_words(name) for name in table["name"]]
    cells = [
        *(line for head in titles.values() for line in head.splitlines()),
        *shown[heads].to_numpy().ravel(),
    ]
    fit = max(1, (console.width - max(map(len, names))) // (max(map(len, cells)) + 2))
    for start in range(0, len(heads), fit):
        block = heads[start : start + fit]
        printed = Table(title=title, title_justify="left", box=None, pad_edge=False)
        printed.add_column(no_wrap=True)
        for head in block:
            printed.add_column(titles[head], justify="right", no_wrap=True)
        for name, (_, row) in zip(names, shown.iterrows(), strict=True):
            printed.add_row(name, *row[block], style="cyan" if row["kind"] == "setting" else None)
        console.print(printed)
    console.print(_NOTE, highlight=False)


def _format_cells(table: pd.DataFrame) -> pd.DataFrame:
    shown = table.map(_format_value)
    # The beginning of a commit identifies it.
    return shown.mask(table["name"].eq("commit"), shown.map(lambda cell: cell[:9]))


def _format_value(value: Any) -> str:
    if value is None or pd.isna(value):
        return NOTHING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _in_words(name: str) -> str:
    """Return `validation pixels` for `val/relation_accuracy_pixels`; settings keep their name."""
    if not name.startswith(_RESULTS):
        return name
    words = {"val/": "validation ", "relation_accuracy_": "", "psnr": "PSNR, dB"}
    for part, word in words.items():
        name = name.replace(part, word)
    return name.replace("/", " ").replace("_", " ")
