"""The one frame behind every table and page: the tracked runs and the committed archive."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.archive import RESULTS, Archive
from analysis.declared import KEY, finished_runs
from analysis.runs import frame, read_runs
from analysis.store import absent, resolve_uri

_SAME = [*KEY, "row"]


def read_frame(tracking_uri: str | None = None, results: Path = RESULTS) -> pd.DataFrame:
    """Read the runs of an MLflow store and of the archive.

    A run that both have, by key and row, is MLflow's.

    Args:
        tracking_uri: The store; by default MLFLOW_TRACKING_URI, or else `mlflow.db` of the current
            folder, which may be missing.
        results: Folder of the archive, which may be missing.

    Returns:
        The frame of `analysis.runs.read_runs`, archived runs first.

    Raises:
        UserError: The store or the archive cannot be read.
    """
    uri = resolve_uri(tracking_uri)
    tracked = frame([]) if absent(uri) else read_runs(uri)
    return union(tracked, Archive(results).frame())


def union(tracked: pd.DataFrame, archived: pd.DataFrame) -> pd.DataFrame:
    """Join the runs of a store and of the archive; a run that both have is the store's."""
    known = set(finished_runs(tracked)[_SAME].itertuples(index=False, name=None))
    both = [row in known for row in archived[_SAME].itertuples(index=False, name=None)]
    parts = [part for part in (archived[[not each for each in both]], tracked) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else tracked
