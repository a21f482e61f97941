"""All uses of private parts of Ray, Optuna and MLflow, with the version each was written for."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.study import Study, load_study
from optuna.trial import FrozenTrial, Trial, TrialState
from ray.tune.schedulers import ASHAScheduler
from ray.tune.schedulers.async_hyperband import _Bracket as Bracket
from ray.tune.search import Searcher

__all__ = ["FINISHED", "Bracket"]

FINISHED: dict[str, Any] = Searcher.FINISHED  # type: ignore[assignment]
"""What `suggest` returns at the end of a search: a string, against its type (Ray 2.60)."""

# A longer text would be several attributes.
_LONGEST_NOTE = 2045


def set_waiting(study: Study, trial: FrozenTrial) -> None:
    """Set a RUNNING trial back to WAITING, which `Study` cannot do (Optuna 5.0)."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def set_user_attr(study: Study, trial: FrozenTrial, name: str, value: Any) -> None:
    """Set a user attribute of an unfinished trial, which `FrozenTrial` cannot do (Optuna 5.0)."""
    study._storage.set_trial_user_attr(trial._trial_id, name, value)


def study_beside(study: Study, suffix: str) -> Study:
    """Load the study of the same storage whose name has this suffix (Optuna 5.0)."""
    return load_study(study_name=f"{study.study_name}{suffix}", storage=study._storage)


def save_note(study: Study, number: int | None, text: str) -> None:
    """Set the note of a study or of a trial, as optuna-dashboard 0.21 stores it.

    Its own function reads the notes of all trials.
    """
    storage, own = study._storage, ""
    if number is not None:
        trial = storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
        own = f"{trial}:"
    for name, value in (("note_str:0", text[:_LONGEST_NOTE]), ("note_ver", 1)):
        storage.set_study_system_attr(study._study_id, f"dashboard:{own}{name}", value)


def running_trial(study: Study, known: FrozenTrial, space: Mapping[str, BaseDistribution]) -> Trial:
    """Return a RUNNING trial of an earlier process; values that it lacks are drawn (Optuna 5.0)."""
    return draw(Trial(study, known._trial_id), space)


def draw(trial: Trial, space: Mapping[str, BaseDistribution]) -> Trial:
    """Draw the values that a trial lacks, as `Study.ask` does, and return it (Optuna 5.0)."""
    for name, distribution in space.items():
        trial._suggest(name, distribution)
    return trial


def start_waiting(study: Study, known: FrozenTrial) -> Trial | None:
    """Start this WAITING trial, not the oldest as `Study.ask`; None if it is gone (Optuna 5.0)."""
    if not study._storage.set_trial_state_values(known._trial_id, TrialState.RUNNING):
        return None
    return Trial(study, known._trial_id)


def log_folder() -> str:
    """Return the folder where the Ray that this process has joined writes logs (Ray 2.60)."""
    node = ray._private.worker._global_node
    return "/tmp/ray/session_latest/logs" if node is None else str(node.get_logs_dir_path())


def set_bracket(scheduler: ASHAScheduler, bracket: Bracket) -> None:
    """Replace the brackets of a scheduler, which takes none as arguments (Ray 2.60)."""
    scheduler._brackets = [bracket]


def rungs_of(bracket: Bracket) -> list[dict[str, float]]:
    """Return for each rung of a bracket the values recorded, by Tune's id of a trial (Ray 2.60)."""
    return [recorded for _, recorded in bracket._rungs]


def read_study_attribute(file: Path, key: str, timeout: float) -> Any:
    """Return a user attribute of the study in a file; None without it (Optuna 5.0).

    Optuna itself takes half a second to open a file.

    Raises:
        sqlite3.DatabaseError: The file is locked, or no database of Optuna's.
    """
    query = "select value_json from study_user_attributes where key = ?"
    with contextlib.closing(sqlite3.connect(file, timeout=timeout)) as database:
        (value,) = database.execute(query, (key,)).fetchone() or ("null",)
    return json.loads(value)


def is_empty_study(file: Path, name: str, attributes: Sequence[str]) -> bool:
    """Whether a file has no trial, no other study, and no other user attributes (Optuna 5.0).

    Optuna itself would create its tables in a database that is not its own.
    """
    used = (
        "select 1 from trials",
        f"select 1 from study_user_attributes where key not in ({str(attributes)[1:-1]})",
        f"select 1 from studies where study_name != '{name}'",
    )  # fmt: skip
    try:
        with contextlib.closing(sqlite3.connect(file)) as database:
            filled = database.execute("select 1 from sqlite_master").fetchone()
            return not (filled and any(database.execute(query).fetchone() for query in used))
    except sqlite3.DatabaseError:
        return False


class SingleWriterStorage(RDBStorage):
    """Reads a running trial again only after this process has written to it (Optuna 5.0).

    Optuna reads all running trials three times for each suggestion, because other processes may
    have changed them. With 400 running trials that takes half a second.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any]) -> None:
        super().__init__(url, engine_kwargs)
        self._written: set[int] = set()
        # Id of the newest trial read, by study.
        self._seen: dict[int, int] = {}

    def check_trial_is_updatable(self, trial_id: int, trial_state: TrialState) -> None:
        """Remember which trial Optuna is about to write."""
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
    """Return the app that `mlflow ui` serves from other processes (MLflow 3.17).

    Args:
        store: The database of the runs and of the registry.
    """
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    # The module reads the environment when it is imported.
    from mlflow.server.fastapi_app import app

    return app


def move_artifacts(database: Path, old: str, new: str) -> None:
    """Replace the beginning of all addresses of artifacts in MLflow's database (MLflow 3.17).

    Args:
        database: The SQLite file.
        old: Address of the folder that was moved.
        new: Its address now.
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
