"""The commands of `weakdis tables` and `report`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from rich.console import Console
from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from analysis.data.archive import RESULTS, read_frame
from analysis.data.export import export_runs, list_study_folders
from analysis.data.runs import read_runs
from analysis.data.store import is_missing, open_store, resolve_uri
from analysis.data.tracked_sweep import find_deficits, find_sweep
from analysis.serving.serving_commands import Store, explore, manipulate
from analysis.tables import accuracy_table, comparison, disentanglement_table, leaderboard
from analysis.tables.rendering import Format
from weakdis_core import paper
from weakdis_core.cli.console import run_command, run_function

Committed = Annotated[
    Path, arg(metavar="FOLDER", help="Folder of the committed runs, runs.csv and scores.csv.")
]
Variant = Annotated[
    str | None,
    arg(
        metavar="VARIANT",
        help="Data set variant of the sweep.",
        help_behavior_hint="(default: any)",
    ),
]
SweepName = Annotated[
    str | None,
    arg(
        metavar="NAME",
        help="Name of the sweep, or the id of its run.",
        help_behavior_hint="(default: the newest)",
    ),
]
Printed = Annotated[
    Format, arg(help="md to read, latex to print (booktabs), html, or csv for every number.")
]
Shown = Annotated[
    Format | Literal["terminal"],
    arg(help="terminal, md, latex to print (booktabs), html, or csv for every number."),
]


def table1(
    tracking_uri: Store = None, results: Committed = RESULTS, format: Printed = "md"
) -> None:
    """Print Table 1: the paper's relation accuracies beside ours."""
    runs = _read_runs(tracking_uri, results)
    sys.stdout.write(accuracy_table.write_table1(runs, paper.load(), format))


def table2(
    tracking_uri: Store = None, results: Committed = RESULTS, format: Printed = "md"
) -> None:
    """Print Table 2: the paper's disentanglement scores beside ours and their ceilings."""
    runs, ceilings = _read_runs(tracking_uri, results), disentanglement_table.measure_ceilings()
    sys.stdout.write(disentanglement_table.write_table2(runs, paper.load(), format, ceilings))


def write_page(
    docs: Annotated[Path, arg(metavar="FOLDER", help="Folder to write to.")] = Path("docs"),
    results: Committed = RESULTS,
    tracking_uri: Store = None,
) -> None:
    """Write results.md, the page of all tables, and its pictures."""
    # Imports matplotlib, which tables do not need.
    from analysis.report.results_page import write_results

    print(f"written to {write_results(_read_runs(tracking_uri, results), docs)}")


def export(
    results: Committed = RESULTS,
    tracking_uri: Store = None,
    storage: Annotated[
        str | None,
        arg(
            metavar="FOLDER",
            help="Folder of the studies.",
            help_behavior_hint="(default: WEAKDIS_STORAGE, or else runs)",
        ),
    ] = None,
) -> None:
    """Add MLflow's finished runs of studies to the committed ones."""
    tracked = read_runs(resolve_uri(tracking_uri))
    print(f"{results}: {export_runs(tracked, results, list_study_folders(storage))}")


def trials(
    variant: Variant = None,
    sweep: SweepName = None,
    tracking_uri: Store = None,
    format: Shown = "terminal",
) -> None:
    """Print the trials of a sweep, best first; those that ended early are dimmed."""
    uri = resolve_uri(tracking_uri)
    found = find_sweep(open_store(uri), read_runs(uri), sweep, variant)
    table, note = leaderboard.build_leaderboard(found), leaderboard.explain_leaderboard(found)
    if format == "terminal":
        leaderboard.print_leaderboard(table, found.name, note, Console())
    else:
        sys.stdout.write(leaderboard.write_leaderboard(table, format, note))


def compare(
    runs: Annotated[
        Positional[tuple[str, ...]],
        arg(
            metavar="RUN ...",
            help="Two or more: a run's id, the beginning of one, or SWEEP/TRIAL.",
            help_behavior_hint="",
        ),
    ],
    all: Annotated[
        bool, FlagCreatePairsOff, arg(help="Print every score that differs.", help_behavior_hint="")
    ] = False,
    tracking_uri: Store = None,
    format: Shown = "terminal",
) -> None:
    """Print the settings that differ between runs, and their headline scores."""
    selected = comparison.select_runs(read_runs(resolve_uri(tracking_uri)), runs)
    table = comparison.compare_runs(selected, every=all)
    if format == "terminal":
        comparison.print_comparison(table, Console())
    else:
        sys.stdout.write(comparison.write_comparison(table, format))


def report(
    sweep: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="NAME",
            help="Name of a sweep, or the id of its run. Repeat the flag to compare sweeps of one "
            "variant (--sweep A --sweep B).",
            help_behavior_hint="(default: the newest)",
        ),
    ] = (),
    variant: Variant = None,
    output: Annotated[Path, arg(metavar="FILE", help="Page to write.")] = Path("report.html"),
    figures: Annotated[
        Path | None,
        arg(
            metavar="FOLDER",
            help="Folder for the charts as PDF, for print.",
            help_behavior_hint="(default: none)",
        ),
    ] = None,
    watch: Annotated[
        bool,
        FlagCreatePairsOff,
        arg(help="Write the page every minute until the sweep ends.", help_behavior_hint=""),
    ] = False,
    tracking_uri: Store = None,
    results: Committed = RESULTS,
) -> None:
    """Write the report of a sweep: one page that opens without a network.

    $ weakdis report --sweep NAME --output report.html
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


TABLES: dict[str, Callable[..., None]] = {
    "table1": table1,
    "table2": table2,
    "trials": trials,
    "compare": compare,
    "export": export,
    "results": write_page,
}
"""The commands of `weakdis tables`."""


def run_tables(args: Sequence[str], prog: str) -> None:
    """Run the command of `weakdis tables` that the first argument names."""
    run_command(TABLES, args, prog=prog, description="Tables of what sweeps and studies found.")


def run_report(args: Sequence[str], prog: str) -> None:
    """Run `weakdis report`."""
    run_function(report, args, prog=prog)


def run() -> None:
    """Run the command of `python -m analysis`."""
    run_command(
        {**TABLES, "report": report, "manipulate": manipulate, "explore": explore},
        prog="python -m analysis",
        description="What sweeps and studies found: tables, trials, runs, reports and models.",
    )
