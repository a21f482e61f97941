"""`python -m analysis`: tables of what the sweeps found."""

from __future__ import annotations

import sys
from pathlib import Path

from analysis import published, tables
from analysis.runs import read_runs
from analysis.store import DEFAULT_TRACKING_URI, resolve_uri, shown
from weakdis_core.console import main, run_command


def table1(tracking_uri: str | None = None, format: tables.Format = "md") -> None:
    """Print Table 1: the paper's relation accuracies beside ours.

    Args:
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
        format: md to read, latex to print (booktabs), csv for every number.
    """
    uri = resolve_uri(tracking_uri)
    if uri == DEFAULT_TRACKING_URI and not Path("mlflow.db").exists():
        print("No runs: there is no mlflow.db in this folder. `make sweep` makes the first.")
        return
    runs = read_runs(uri)
    if runs.empty:
        print(f"No runs in {shown(uri)}. `make sweep` makes the first.")
    elif tables.results(runs).empty:
        print(f"No results in {shown(uri)}: {len(runs)} runs, none of them evaluated on test yet.")
    else:
        quoted = published.load()
        table = tables.table1(runs, quoted)
        sys.stdout.write(tables.write_table1(table, quoted, format))


def run() -> None:
    """Read the command and carry it out."""
    run_command(
        {"table1": table1}, prog="python -m analysis", description="Tables of finished sweeps."
    )


if __name__ == "__main__":
    main(run)
