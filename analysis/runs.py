"""MLflow -> one tidy frame: a row for each trial, whatever sweep or experiment it came from."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run

from analysis.store import open_store
from weakdis_core.score_counts import IMAGES

COLUMNS = (
    "run_id",
    "parent_run_id",
    "variant",
    "source",
    "stage",
    "row",
    "sweep",
    "trial_id",
    "seed",
    "config_hash",
    "core",
    "sklearn",
    "status",
    "outcome",
    "reason",
    "device",
    "host",
    "machine",
    "commit",
    "torch",
    "numpy",
    "python",
    "step",
    "started",
    "finished",
)
"""Columns every frame has; one more for each param (`data.labels`) and metric (`test/...`)."""

_CEILING, _IMAGES = "test/identifiability_ceiling", f"test/{IMAGES}"
_PAGE = 1000
_PARENT = "mlflow.parentRunId"


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
    found = pages(client, "tags.variant LIKE '%'")
    return frame([_row(run) for run in found if _PARENT in run.data.tags])


def frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    """A tidy frame of rows by column name, typed, with `COLUMNS` present even without rows."""
    runs = pd.DataFrame(rows)
    others = [name for name in runs.columns if name not in COLUMNS]
    runs = runs.reindex(columns=[*COLUMNS, *sorted(others)])
    runs["seed"] = pd.to_numeric(runs["seed"]).astype("Int64")
    for name in ("started", "finished"):
        runs[name] = pd.to_datetime(runs[name], unit="ms", utc=True)
    for name in others:
        runs[name] = _numbers(runs[name])
    return runs.sort_values("started", kind="stable", ignore_index=True)


def _numbers(column: pd.Series) -> pd.Series:
    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return column


def pages(client: MlflowClient, query: str) -> Iterator[Run]:
    """All runs of a store that a query finds, page by page.

    Args:
        client: The store.
        query: MLflow's filter.
    """
    experiments = [experiment.experiment_id for experiment in _experiments(client)]
    token = None
    while experiments:
        page = client.search_runs(experiments, query, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _experiments(client: MlflowClient) -> Iterator[Experiment]:
    token = None
    while True:
        page = client.search_experiments(max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _row(run: Run) -> dict[str, object]:
    tags, metrics = run.data.tags, dict(run.data.metrics)
    if _IMAGES not in metrics:
        # Runs without this count are older: they measured the ceiling over all images.
        metrics.pop(_CEILING, None)
    return {
        **run.data.params,
        **metrics,
        "run_id": run.info.run_id,
        "parent_run_id": tags[_PARENT],
        "variant": tags["variant"],
        "source": tags.get("data.source", "unknown"),
        # A run that does not say is taken for the weaker claim.
        "stage": tags.get("stage", "search"),
        "row": tags.get("row"),
        "sweep": tags.get("sweep"),
        "trial_id": tags.get("trial_id"),
        "seed": tags.get("seed", run.data.params.get("seed")),
        "config_hash": tags.get("config_hash", "unknown"),
        # Runs that are older than the tag are of the first version.
        "core": int(tags.get("version.core", 1)),
        "sklearn": tags.get("version.scikit-learn", "unknown"),
        "status": run.info.status,
        # The sweep's own word for how it ended; a search that is killed leaves none.
        "outcome": tags.get("outcome", "running"),
        "reason": tags.get("reason"),
        "device": tags.get("device"),
        "host": tags.get("host"),
        "machine": tags.get("machine"),
        "commit": tags.get("git_commit"),
        **{name: tags.get(f"version.{name}") for name in ("torch", "numpy", "python")},
        "step": _last_step(run),
        "started": run.info.start_time,
        "finished": run.info.end_time,
    }


def _last_step(run: Run) -> int | None:
    """The training step of the last report; the values alone are in `run.data.metrics`."""
    steps = [each.step for each in run.data.to_proto().metrics if each.key == "seconds"]
    return max(steps, default=None)
