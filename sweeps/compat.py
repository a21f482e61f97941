"""Every use of a private part of Ray, Optuna or MLflow, and the version it was written for."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import ray
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from ray.tune.schedulers import ASHAScheduler
from ray.tune.schedulers.async_hyperband import _Bracket as Bracket
from ray.tune.search import Searcher

__all__ = ["FINISHED", "Bracket"]

FINISHED: dict[str, Any] = Searcher.FINISHED  # type: ignore[assignment]
"""What `suggest` returns at the end of a search: a word, which its type leaves out (Ray 2.60)."""


def set_waiting(study: Study, trial: FrozenTrial) -> None:
    """Set a RUNNING trial back to WAITING, which `Study` cannot (Optuna 5.0)."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def set_user_attr(study: Study, trial: FrozenTrial, name: str, value: Any) -> None:
    """Set a user attribute of a trial that has not ended, which `FrozenTrial` cannot (5.0)."""
    study._storage.set_trial_user_attr(trial._trial_id, name, value)


def running_trial(study: Study, known: FrozenTrial, space: Mapping[str, BaseDistribution]) -> Trial:
    """Return a RUNNING trial of an earlier process, for reports and its end (Optuna 5.0).

    Values that it lacks are drawn.
    """
    return draw(Trial(study, known._trial_id), space)


def draw(trial: Trial, space: Mapping[str, BaseDistribution]) -> Trial:
    """Draw the values that a trial lacks, as `Study.ask` draws them, and return it (Optuna 5.0)."""
    for name, distribution in space.items():
        trial._suggest(name, distribution)
    return trial


def start_waiting(study: Study, known: FrozenTrial) -> Trial | None:
    """Start a given WAITING trial, where `Study.ask` takes the oldest; None if it is gone (5.0)."""
    if not study._storage.set_trial_state_values(known._trial_id, TrialState.RUNNING):
        return None
    return Trial(study, known._trial_id)


def log_folder() -> str:
    """Where the Ray that this process has joined writes its logs (Ray 2.60)."""
    node = ray._private.worker._global_node
    return "/tmp/ray/session_latest/logs" if node is None else str(node.get_logs_dir_path())


def set_bracket(scheduler: ASHAScheduler, bracket: Bracket) -> None:
    """Replace the brackets of a scheduler, which takes none as an argument (Ray 2.60)."""
    scheduler._brackets = [bracket]


def rungs_of(bracket: Bracket) -> list[dict[str, float]]:
    """What a bracket has recorded at each rung: values by Tune's id of the trial (Ray 2.60)."""
    return [recorded for _, recorded in bracket._rungs]


class SingleWriterStorage(RDBStorage):
    """Reads a running trial from the database again only after this process has written it.

    Optuna reads all running trials three times for each suggestion, because other processes may
    have changed them. With 400 running trials that takes half a second. (Optuna 5.0)
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any]) -> None:
        super().__init__(url, engine_kwargs)
        self._written: set[int] = set()
        # Id of the newest trial read, by study.
        self._seen: dict[int, int] = {}

    def check_trial_is_updatable(self, trial_id: int, trial_state: TrialState) -> None:
        """Note which trial is written: Optuna calls this before each write."""
        super().check_trial_is_updatable(trial_id, trial_state)
        self._written.add(trial_id)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        seen = self._seen.get(study_id, -1)
        trials = super()._get_trials(study_id, states, self._written, seen)
        ids = {trial._trial_id for trial in trials}
        self._written -= ids
        self._seen[study_id] = max({seen} | ids)
        return trials


def mlflow_app(store: str) -> Any:
    """Return the app that `mlflow ui` serves; the command would start it in other processes (3.17).

    Args:
        store: The database of the runs and of the registry.
    """
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    # Reads the environment when it is imported.
    from mlflow.server.fastapi_app import app

    return app


def move_artifacts(database: Path, old: str, new: str) -> None:
    """Replace the beginning of all addresses of artifacts in a database of MLflow's (3.17).

    Args:
        database: The SQLite file.
        old: Address of a folder, as it is.
        new: Address of the folder, as it is to be.
    """
    columns = (
        ("experiments", "artifact_location"),
        ("runs", "artifact_uri"),
        ("logged_models", "artifact_location"),
        ("model_versions", "source"),
        ("model_versions", "storage_location"),
    )
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for table, column in columns:
            connection.execute(
                f"update {table} set {column} = ? || substr({column}, ?) "
                f"where {column} = ? or substr({column}, 1, ?) = ?",
                (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
            )
