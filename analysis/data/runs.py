"""Runs of an MLflow store as one frame, with a row for each trial, confirm run and study run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.store.entities import PagedList

from analysis.data.store import open_store
from weakdis_core.metrics.accuracy import LABELLED
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
# Values of missing tags. A run without a stage counts as a search trial, the weaker claim; a killed
# search leaves trials without an outcome.
_UNTAGGED = {
    "source": "unknown",
    "stage": "search",
    "config_hash": "unknown",
    "sklearn": "unknown",
    "outcome": "running",
}
COLUMNS = ("run_id", *_TAGS, "status", "step", "started", "finished")
"""Columns of every frame; each param (`data.labels`) and metric (`test/...`) adds one."""

KEY = ["config_hash", "seed", "source", "core", "sklearn", "row"]
"""Columns that identify a finished study run: `weakdis_core.run_key.RunKey` and the row."""

_CEILING, _IMAGES = "test/identifiability_ceiling", f"test/{IMAGES}"
_PAGE = 1000


def read_runs(tracking_uri: str) -> pd.DataFrame:
    """Read the search trials, confirm runs and study runs of a store, without deleted ones.

    Args:
        tracking_uri: Store to read; a missing store is not created.

    Returns:
        One row for each run, oldest first: `COLUMNS`, params, and the latest value of each metric.
        Columns of numbers are numeric; values that a run did not log are missing.

    Raises:
        UserError: The store cannot be read.
    """
    client = open_store(tracking_uri)
    # In a shared store, only runs of this project have the tag.
    found = search_runs(client, "tags.variant LIKE '%'")
    return build_frame([_row(run) for run in found if _TAGS["parent_run_id"] in run.data.tags])


def build_frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Build a typed frame from rows by column name; it always has the `COLUMNS`."""
    runs = pd.DataFrame(rows)
    others = [name for name in runs.columns if name not in COLUMNS]
    runs = runs.reindex(columns=[*COLUMNS, *sorted(others)])
    runs["seed"] = pd.to_numeric(runs["seed"]).astype("Int64")
    for name in ("started", "finished"):
        runs[name] = pd.to_datetime(runs[name], unit="ms", utc=True)
    for name in others:
        with suppress(ValueError, TypeError):
            runs[name] = pd.to_numeric(runs[name])
    return runs.sort_values("started", kind="stable", ignore_index=True)


def get_keys(runs: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return the `KEY` of each run."""
    return list(runs[KEY].itertuples(index=False, name=None))


def select_finished(runs: pd.DataFrame) -> pd.DataFrame:
    """Select the finished study runs; of several with one key and row, the latest."""
    finished = runs["stage"].eq("study") & runs["status"].eq("FINISHED")
    finished &= runs["outcome"].eq("complete")
    latest = runs[finished].sort_values("finished", kind="stable")
    return latest.drop_duplicates(KEY, keep="last")


def search_runs(client: MlflowClient, query: str, deleted: bool = False) -> Iterator[Run]:
    """Iterate over the active runs of a store that match a filter, or over the deleted ones."""
    experiment_view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    run_view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    found = iterate_pages(client.search_experiments, view_type=experiment_view)
    if ids := [experiment.experiment_id for experiment in found]:
        yield from iterate_pages(
            client.search_runs, experiment_ids=ids, filter_string=query, run_view_type=run_view
        )


def name_draw(run: pd.Series[Any]) -> str:
    """Return the draw of a run's labelled subset; runs older than the setting drew evenly.

    The monolithic model's even draw is one by combination.
    """
    draw = run.get("data.label_draw")
    draw = draw if isinstance(draw, str) else "even"
    monolithic = run.get("model.kind") == "monolithic"
    return "combination" if draw == "even" and monolithic else draw


def count_validation(run: pd.Series[Any]) -> int | None:
    """Return the number of images behind a run's accuracies on validation.

    Of own pictures only those whose every factor is labelled count.
    """
    for name in (f"val/{LABELLED}", "training.evaluation_samples"):
        if not pd.isna(count := run.get(name)):
            return int(count)
    return None


def iterate_pages(search: Callable[..., PagedList[Any]], **wanted: Any) -> Iterator[Any]:
    """Iterate over all results of a paged search of MLflow."""
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
        # Older runs lack this count; they measured the ceiling over all images.
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
        # Runs older than this tag are of the first version.
        "core": int(tagged["core"] or 1),
        "status": run.info.status,
        "step": max(steps, default=None),
        "started": run.info.start_time,
        "finished": run.info.end_time,
    }
