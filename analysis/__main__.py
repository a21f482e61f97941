"""`python -m analysis`: the paper's tables beside what sweeps confirmed, and their models."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from analysis import accuracy_table, disentanglement_table, published
from analysis.manipulate import manipulate
from analysis.runs import frame, read_runs
from analysis.selection import unconfirmed
from analysis.store import DEFAULT_TRACKING_URI, resolve_uri
from analysis.text import Format
from weakdis_core.console import main, run_command


def table1(tracking_uri: str | None = None, format: Format = "md") -> None:
    """Print Table 1: the paper's relation accuracies beside ours.

    Args:
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
        format: md to read, latex to print (booktabs), csv for every number.
    """
    runs, quoted = _runs(tracking_uri), published.load()
    waiting = unconfirmed(runs, [row.variant for row in quoted.table1])
    table = accuracy_table.table1(runs, quoted)
    sys.stdout.write(accuracy_table.write_table1(table, quoted, format, waiting))


def table2(tracking_uri: str | None = None, format: Format = "md") -> None:
    """Print Table 2: the paper's disentanglement scores beside ours and their ceilings.

    Args:
        tracking_uri: MLflow store to read: MLFLOW_TRACKING_URI, or else sqlite:///mlflow.db.
        format: md to read, latex to print (booktabs), csv for every number.
    """
    runs, quoted = _runs(tracking_uri), published.load()
    waiting = unconfirmed(runs, disentanglement_table.DATA_SETS.values())
    table = disentanglement_table.table2(runs, quoted, disentanglement_table.ceilings())
    sys.stdout.write(disentanglement_table.write_table2(table, quoted, format, waiting))


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
        {"table1": table1, "table2": table2, "manipulate": manipulate},
        prog="python -m analysis",
        description="Tables of what the sweeps confirmed, and what their models do.",
    )


if __name__ == "__main__":
    main(run)
