"""MLflow -> one tidy frame: a row for each trial, whatever sweep or experiment it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.store.entities import PagedList

from analysis.data.store import open_store
from weakdis_core.scores.counts import IMAGES

_TAGS = {
    "parent_run_id": "mlflow.parentRunId",
    "variant": "variant",
    "source": "data.source",
    "stage": "stage",
    "row": "row",
    "sweep": "sweep",
    "trial_id": "trial_id",
    "seed": "seed",
    "config_hash": "config_hash",
    "core": "version.core",
    "sklearn": "version.scikit-learn",
    "outcome": "outcome",
    "reason": "reason",
    "device": "device",
    "host": "host",
    "machine": "machine",
    "commit": "git_commit",
    "torch": "version.torch",
    "numpy": "version.numpy",
    "python": "version.python",
}
# A run without the tag of its stage counts as the weaker claim; a search that was killed has set
# no outcome.
_UNTAGGED = {
    "source": "unknown",
    "stage": "search",
    "config_hash": "unknown",
    "sklearn": "unknown",
    "outcome": "running",
}
COLUMNS = ("run_id", *_TAGS, "status", "step", "started", "finished")
"""Columns every frame has; one more for each param (`data.labels`) and metric (`test/...`)."""

KEY = ["config_hash", "seed", "source", "core", "sklearn", "row"]
"""Columns that identify a finished run of a study: `weakdis_core.run_key.RunKey` and the row."""

_CEILING, _IMAGES = "test/identifiability_ceiling", f"test/{IMAGES}"
_PAGE = 1000


def read_runs(tracking_uri: str) -> pd.DataFrame:
    """All trials of a store, search and confirm alike, the deleted ones left out.

    Args:
        tracking_uri: Store to read; it is not created when missing.

    Returns:
        One row a run, oldest first: `COLUMNS`, then params and the latest value of each metric.
        Params that are all numbers are numbers; what a run did not log is missing.

    Raises:
        UserError: The store cannot be read.
    """
    client = open_store(tracking_uri)
    # The tag keeps other projects' runs out where a store is shared.
    found = search_runs(client, "tags.variant LIKE '%'")
    return build_frame([_row(run) for run in found if _TAGS["parent_run_id"] in run.data.tags])


def build_frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    """A tidy frame of rows by column name, typed, with `COLUMNS` present even without rows."""
    runs = pd.DataFrame(rows)
    others = [name for name in runs.columns if name not in COLUMNS]
    runs = runs.reindex(columns=[*COLUMNS, *sorted(others)])
    runs["seed"] = pd.to_numeric(runs["seed"]).astype("Int64")
    for name in ("started", "finished"):
        runs[name] = pd.to_datetime(runs[name], unit="ms", utc=True)
    for name in others:
        # Words stay words.
        with suppress(ValueError, TypeError):
            runs[name] = pd.to_numeric(runs[name])
    return runs.sort_values("started", kind="stable", ignore_index=True)


def get_keys(runs: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return the `KEY` of each run."""
    return list(runs[KEY].itertuples(index=False, name=None))


def select_finished(runs: pd.DataFrame) -> pd.DataFrame:
    """Select the finished runs of studies; of runs with one key and row, the latest."""
    whole = runs["stage"].eq("study") & runs["status"].eq("FINISHED")
    whole &= runs["outcome"].eq("complete")
    latest = runs[whole].sort_values("finished", kind="stable")
    return latest.drop_duplicates(KEY, keep="last")


def search_runs(client: MlflowClient, query: str, deleted: bool = False) -> Iterator[Run]:
    """All runs of a store that MLflow's filter finds: those that are deleted, or the others."""
    shown = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    found = iterate_pages(client.search_experiments, view_type=shown)
    wanted: dict[str, Any] = {
        "experiment_ids": [each.experiment_id for each in found],
        "filter_string": query,
    }
    if deleted:
        wanted["run_view_type"] = ViewType.DELETED_ONLY
    if wanted["experiment_ids"]:
        yield from iterate_pages(client.search_runs, **wanted)


def iterate_pages(search: Callable[..., PagedList[Any]], **wanted: Any) -> Iterator[Any]:
    """All that a search finds, page by page."""
    token = None
    while True:
        page = search(**wanted, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _row(run: Run) -> dict[str, object]:
    tags, metrics = run.data.tags, dict(run.data.metrics)
    if _IMAGES not in metrics:
        # Runs without this count are older: they measured the ceiling over all images.
        metrics.pop(_CEILING, None)
    # `run.data.metrics` has the last values without their steps.
    steps = [each.step for each in run.data.to_proto().metrics if each.key == "seconds"]
    tagged = {name: tags.get(tag, _UNTAGGED.get(name)) for name, tag in _TAGS.items()}
    return {
        **run.data.params,
        **metrics,
        **tagged,
        "run_id": run.info.run_id,
        "seed": tags.get("seed", run.data.params.get("seed")),
        # Runs that are older than this tag are of the first version.
        "core": int(tagged["core"] or 1),
        "status": run.info.status,
        "step": max(steps, default=None),
        "started": run.info.start_time,
        "finished": run.info.end_time,
    }
