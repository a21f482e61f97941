"""Commands of `python -m analysis`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Literal

import pandas as pd
from rich.console import Console
from tyro.conf import Positional, UseAppendAction

from analysis.data.archive import RESULTS, read_frame
from analysis.data.export import export_runs, list_study_folders
from analysis.data.runs import read_runs
from analysis.data.store import is_missing, open_store, resolve_uri
from analysis.data.tracked_sweep import find_deficits, find_sweep
from analysis.serving.manipulate import manipulate
from analysis.tables import accuracy_table, comparison, disentanglement_table, leaderboard
from analysis.tables.rendering import Format
from weakdis_core import paper
from weakdis_core.cli.console import run_command


def table1(tracking_uri: str | None = None, results: Path = RESULTS, format: Format = "md") -> None:
    """Print Table 1: the paper's relation accuracies beside ours.

    Args:
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
        results: Folder of the committed runs, runs.csv and scores.csv.
        format: md to read, latex to print (booktabs), html, or csv for every number.
    """
    runs = _read_runs(tracking_uri, results)
    sys.stdout.write(accuracy_table.write_table1(runs, paper.load(), format))


def table2(tracking_uri: str | None = None, results: Path = RESULTS, format: Format = "md") -> None:
    """Print Table 2: the paper's disentanglement scores beside ours and their ceilings.

    Args:
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
        results: Folder of the committed runs, runs.csv and scores.csv.
        format: md to read, latex to print (booktabs), html, or csv for every number.
    """
    runs, ceilings = _read_runs(tracking_uri, results), disentanglement_table.measure_ceilings()
    sys.stdout.write(disentanglement_table.write_table2(runs, paper.load(), format, ceilings))


def write_page(
    docs: Path = Path("docs"), results: Path = RESULTS, tracking_uri: str | None = None
) -> None:
    """Write results.md, the page of all tables, and its pictures.

    Args:
        docs: Folder to write to.
        results: Folder of the committed runs, runs.csv and scores.csv.
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
    """
    # Imports matplotlib, which tables do not need.
    from analysis.report.results_page import write_results

    print(f"written to {write_results(_read_runs(tracking_uri, results), docs)}")


def export(
    results: Path = RESULTS, tracking_uri: str | None = None, storage: str | None = None
) -> None:
    """Add MLflow's finished runs of studies to the committed ones.

    Args:
        results: Folder of the committed runs, runs.csv and scores.csv.
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
        storage: Folder of the studies; by default WEAKDIS_STORAGE, else runs.
    """
    tracked = read_runs(resolve_uri(tracking_uri))
    print(f"{results}: {export_runs(tracked, results, list_study_folders(storage))}")


def trials(
    variant: str | None = None,
    sweep: str | None = None,
    tracking_uri: str | None = None,
    format: Format | Literal["terminal"] = "terminal",
) -> None:
    """Print the trials of a sweep, best first.

    Args:
        variant: Data set variant of the sweep.
        sweep: Name of the sweep, or the id of its run; the newest by default.
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
        format: terminal (trials that ended early are dimmed), md, latex, html, or csv for every
            number.
    """
    uri = resolve_uri(tracking_uri)
    found = find_sweep(open_store(uri), read_runs(uri), sweep, variant)
    table, note = leaderboard.build_leaderboard(found), leaderboard.explain_leaderboard(found)
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
    selected = comparison.select_runs(read_runs(resolve_uri(tracking_uri)), runs)
    sys.stdout.write(comparison.write_comparison(comparison.compare_runs(selected), format))


def report(
    sweep: UseAppendAction[tuple[str, ...]] = (),
    variant: str | None = None,
    output: Path = Path("report.html"),
    figures: Path | None = None,
    watch: bool = False,
    tracking_uri: str | None = None,
    results: Path = RESULTS,
) -> None:
    """Write the report of a sweep: one page that opens without a network.

    Args:
        sweep: Name of the sweep, or the id of its run; the newest by default. Repeat the flag to
            compare sweeps of one variant (--sweep A --sweep B).
        variant: Data set variant of the sweep.
        output: Page to write.
        figures: Folder for the charts as PDF, for print.
        watch: Write the page again every minute until the sweep ends.
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
        results: Folder of the committed runs, runs.csv and scores.csv.
    """
    # Imports torch, which tables do not need.
    from analysis.report.sweep_page import build_page

    first, running = sweep[0] if sweep else None, True
    while running:
        page = build_page(resolve_uri(tracking_uri), first, variant, results, sweep[1:])
        page.write(output, figures)
        written = f", figures in {figures}" if figures else ""
        print(f"report of {page.sweep.name}: {output}{written}")
        if running := watch and page.sweep.run.info.status == "RUNNING":
            time.sleep(60)


def _read_runs(tracking_uri: str | None, results: Path) -> pd.DataFrame:
    """Read the tracked and the committed runs, and print what is missing to stderr."""
    uri = resolve_uri(tracking_uri)
    runs = read_frame(uri, results)
    if is_missing(uri):
        print(f"There is no mlflow.db in this folder: runs of {results} only.", file=sys.stderr)
    else:
        for deficit in find_deficits(open_store(uri), runs):
            print(deficit, file=sys.stderr)
    return runs


def run() -> None:
    """Run the command of the command line."""
    run_command(
        {
            "table1": table1,
            "table2": table2,
            "results": write_page,
            "export": export,
            "trials": trials,
            "compare": compare,
            "report": report,
            "manipulate": manipulate,
        },
        prog="python -m analysis",
        description="What sweeps and studies found: tables, trials, runs, reports and models.",
    )
