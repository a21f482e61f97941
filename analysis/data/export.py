"""Export of finished study runs from MLflow to the committed archive."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

import pandas as pd
from filelock import FileLock

from analysis.data.archive import Archive
from analysis.data.outbox_files import count_undelivered
from analysis.data.runs import get_keys, select_finished
from weakdis_core.errors import UserError
from weakdis_core.run_key import Versions

_ROW = ["row", "seed", "source"]


def list_study_folders(storage: str | None = None) -> list[Path]:
    """List the folders of studies on this machine.

    Args:
        storage: Storage of the sweeps; by default WEAKDIS_STORAGE, or else `runs`. For a remote
            storage, the local folders are in `runs`.
    """
    place = storage or os.environ.get("WEAKDIS_STORAGE") or "runs"
    return sorted(Path("runs" if "://" in place else place).glob("study-*"))


def export_runs(tracked: pd.DataFrame, results: Path, studies: list[Path]) -> str:
    """Add the finished runs of studies to the archive.

    An archived run with the same key and row stays unchanged. Left out are runs of versions other
    than those of this process, and runs older than the archived run of their row, seed and source.

    Args:
        tracked: The frame of `analysis.data.runs.read_runs`.
        results: Folder of the archive.
        studies: Folders of the studies. MLflow must have received all entries of their outboxes.

    Returns:
        The number of new, replaced, unchanged and left-out runs, as a sentence.

    Raises:
        UserError: MLflow lacks entries of a study, a run to add comes from a work tree with
            uncommitted changes, or the archive cannot be read or written.
    """
    for folder in studies:
        if count := count_undelivered(folder):
            raise UserError(
                f"export: MLflow lacks {count} entries of {folder}; run the same python "
                "sweeps/run.py --study command again to deliver them"
            )
    finished = select_finished(tracked)
    with _lock(results):
        archive = Archive(results)
        kind = _classify(finished, archive.frame())
        added = finished[kind.isin(["new", "replaced"])]
        dirty = added[added["commit"].astype(str).str.endswith("-dirty")]
        if len(dirty):
            raise UserError(
                f"export: {'; '.join(dirty['row'].unique())}: trained from a work tree with "
                "uncommitted changes; commit them and train again from a clean clone"
            )
        if len(added):
            archive.add(added)
            archive.write()
    words = ("new", "replaced", "unchanged", "left out")
    return ", ".join(f"{int(kind.eq(word).sum())} {word}" for word in words)


def _classify(finished: pd.DataFrame, archived: pd.DataFrame) -> pd.Series[str]:
    """Classify each finished run as new, replaced, unchanged or left out."""
    known = set(get_keys(archived))
    latest = archived.groupby(_ROW)["finished"].max().to_dict()
    last = finished.drop_duplicates(_ROW, keep="last").index
    here = Versions.here()
    kinds = []
    for (index, run), key in zip(finished.iterrows(), get_keys(finished), strict=True):
        archived_at = latest.get(tuple(run[_ROW]))
        if key in known:
            kinds.append("unchanged")
        elif (run["core"], run["sklearn"]) != here or index not in last:
            kinds.append("left out")
        elif archived_at is None:
            kinds.append("new")
        else:
            kinds.append("replaced" if run["finished"] > archived_at else "left out")
    return pd.Series(kinds, index=finished.index, dtype=str)


def _lock(folder: Path) -> AbstractContextManager[object]:
    """Lock the archive, so that no concurrent export overwrites its runs."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / ".lock").acquire()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"results: {folder} cannot be written ({reason})") from None
