"""`python -m analysis`: the paper's tables beside what sweeps confirmed, and their models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import pandas as pd
from rich.console import Console
from tyro.conf import Positional

from analysis import accuracy_table, comparison, disentanglement_table, leaderboard
from analysis.manipulate import manipulate
from analysis.runs import frame, read_runs
from analysis.selection import unconfirmed
from analysis.store import DEFAULT_TRACKING_URI, open_store, resolve_uri
from analysis.sweep import find_sweep
from analysis.text import Format
from weakdis_core import paper
from weakdis_core.console import main, run_command


def table1(tracking_uri: str | None = None, format: Format = "md") -> None:
    """Print Table 1: the paper's relation accuracies beside ours.

    Args:
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
        format: md to read, latex to print (booktabs), html, or csv for every number.
    """
    runs, quoted = _runs(tracking_uri), paper.load()
    waiting = unconfirmed(runs, [row.variant for row in quoted.table1])
    table = accuracy_table.table1(runs, quoted)
    sys.stdout.write(accuracy_table.write_table1(table, quoted, format, waiting))


def table2(tracking_uri: str | None = None, format: Format = "md") -> None:
    """Print Table 2: the paper's disentanglement scores beside ours and their ceilings.

    Args:
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
        format: md to read, latex to print (booktabs), html, or csv for every number.
    """
    runs, quoted = _runs(tracking_uri), paper.load()
    waiting = unconfirmed(runs, paper.DATA_SETS.values())
    table = disentanglement_table.table2(runs, quoted, disentanglement_table.ceilings())
    sys.stdout.write(disentanglement_table.write_table2(table, quoted, format, waiting))


def trials(
    variant: str | None = None,
    sweep: str | None = None,
    tracking_uri: str | None = None,
    format: Format | Literal["terminal"] = "terminal",
) -> None:
    """Print the trials of a sweep, best first.

    Args:
        variant: Of the newest sweep of this variant.
        sweep: Of this one, by its name or the id of its run; the newest by default.
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
        format: terminal (those that did not get to their end are dimmed), md, latex, html, or csv
            for every number.
    """
    uri = resolve_uri(tracking_uri)
    found = find_sweep(open_store(uri), read_runs(uri), sweep, variant)
    table, note = leaderboard.leaderboard(found), leaderboard.note_on(found)
    if format == "terminal":
        leaderboard.print_leaderboard(table, found.name, note, Console())
    else:
        sys.stdout.write(leaderboard.write_leaderboard(table, format, note))


def compare(
    runs: Positional[tuple[str, ...]], tracking_uri: str | None = None, format: Format = "md"
) -> None:
    """Print what differs between runs, in settings and in results.

    Args:
        runs: Two or more: the id of each run, the beginning of one, or SWEEP/TRIAL.
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
        format: md to read, latex to print (booktabs), html, or csv for every number.
    """
    chosen = comparison.chosen(read_runs(resolve_uri(tracking_uri)), runs)
    sys.stdout.write(comparison.write_comparison(comparison.compare(chosen), format))


def report(
    sweep: str | None = None,
    variant: str | None = None,
    output: Path = Path("report.html"),
    figures: Path | None = None,
    tracking_uri: str | None = None,
) -> None:
    """Write the report of a sweep: one page that opens without a network.

    Args:
        sweep: Its name or the id of its run; the newest by default.
        variant: The data set variant that it is of.
        output: The page to write.
        figures: Folder for the figures as PDF, for print.
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
    """
    # Brings torch and matplotlib, which tables do not need.
    from analysis.report import make_report

    made = make_report(resolve_uri(tracking_uri), sweep, variant)
    made.write(output)
    for drawing in made.drawings if figures is not None else ():
        assert figures is not None
        drawing.write_pdf(figures)
    also = f", figures in {figures}" if figures is not None else ""
    print(f"report of {made.sweep.name}: {output}{also}")


def _runs(tracking_uri: str | None) -> pd.DataFrame:
    """The tracked runs; none where nothing was ever tracked in this folder."""
    uri = resolve_uri(tracking_uri)
    if uri == DEFAULT_TRACKING_URI and not Path("mlflow.db").exists():
        print("There is no mlflow.db in this folder: published numbers only.", file=sys.stderr)
        return frame([])
    return read_runs(uri)


def run() -> None:
    """Read the command and carry it out."""
    run_command(
        {
            "table1": table1,
            "table2": table2,
            "trials": trials,
            "compare": compare,
            "report": report,
            "manipulate": manipulate,
        },
        prog="python -m analysis",
        description="What the sweeps found: the paper's tables, trials, runs, reports and models.",
    )


if __name__ == "__main__":
    main(run)
