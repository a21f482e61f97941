"""Made-up finished study runs, for known answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from mlflow.entities import Metric, Param, RunTag

from analysis.data.runs import build_frame
from tests.analysis.tracked import Store
from weakdis_core.rows import DeclaredRun, Row
from weakdis_core.run_key import Versions

HERE = Versions.here()
FINISHED = pd.Timestamp("2026-01-02T03:04:05Z")

# Columns of the frame that are neither params nor metrics, and MLflow's tags.
_TAGS = {
    "variant": "variant", "source": "data.source", "stage": "stage", "row": "row", "seed": "seed",
    "config_hash": "config_hash", "core": "version.core", "sklearn": "version.scikit-learn",
    "outcome": "outcome", "device": "device", "machine": "machine", "commit": "git_commit",
    "torch": "version.torch", "numpy": "version.numpy", "python": "version.python",
}  # fmt: skip
_PARAMS = ("model.kind", "data.labels", "data.label_draw", "training.steps")


def studied(
    *rows: tuple[Row, Mapping[str, Sequence[float]]], versions: Versions = HERE, **fields: object
) -> pd.DataFrame:
    """Build a frame of runs from the scores of each seed by metric."""
    return build_frame(
        [
            _run(run, versions)
            | {f"test/{name}": values[i] for name, values in metrics.items()}
            | fields
            for row, metrics in rows
            for i, run in enumerate(row[: len(next(iter(metrics.values())))])
        ]
    )


def _run(run: DeclaredRun, versions: Versions) -> dict[str, object]:
    key, at = run.key(versions), FINISHED.timestamp() * 1000
    return {
        "run_id": key.run_id, "variant": run.variant, "source": key.source, "stage": "study",
        "row": run.row, "seed": key.seed, "config_hash": key.config, "core": key.versions.code,
        "sklearn": key.versions.scikit_learn, "status": "FINISHED", "outcome": "complete",
        "device": "cpu x86_64", "machine": "Abacus", "commit": "0123456789abcdef", "torch": "2",
        "numpy": "2", "python": "3", "started": at, "finished": at,
        "cpu_seconds": 100.0, "scoring_seconds": 10.0, "test/images": 100.0,
    } | {name: run.config.flat()[name] for name in _PARAMS}  # fmt: skip


def track(store: Store, runs: pd.DataFrame) -> None:
    """Store runs of the frame in MLflow, below the run of a study."""
    client = store.client
    tags: dict[str, Any] = {"kind": "study", "sweep": "study-models", "variant": "dsprites_v2"}
    parent = client.create_run(store.experiment("dsprites_v2"), tags=tags).info.run_id
    for _, run in runs.iterrows():
        at = int(run["finished"].timestamp() * 1000)
        created = client.create_run(store.experiment(run["variant"]), start_time=at).info.run_id
        metrics = run.drop([*_TAGS, *_PARAMS]).filter(regex="^test/|_seconds$").dropna()
        tags = {tag: str(run[name]) for name, tag in _TAGS.items()}
        client.log_batch(
            created,
            metrics=[Metric(str(name), float(value), at, 0) for name, value in metrics.items()],
            params=[Param(name, str(run[name])) for name in _PARAMS],
            tags=[RunTag(*tag) for tag in (tags | {"mlflow.parentRunId": parent}).items()],
        )
        client.set_terminated(created, run["status"], end_time=at)
